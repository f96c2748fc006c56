// Package check_test reads the files of the deployment with the types of those
// who will read them: Compose's own loader, and the types of Kubernetes, in
// which an unknown field is an error.
package check_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// load merges the files with Compose's own code.
func load(t *testing.T, files ...string) *types.Project {
	t.Helper()
	for i := range files {
		files[i] = filepath.Join("../compose", files[i])
	}
	options, err := cli.NewProjectOptions(files, cli.WithInterpolation(true), cli.WithResolvedPaths(true), cli.WithConsistency(true))
	if err != nil {
		t.Fatal(err)
	}
	p, err := options.LoadProject(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestComposeOneNode(t *testing.T) {
	p := load(t, "compose.yaml")
	checkDependencies(t, p)
	if got := p.Secrets["broker"].File; filepath.Base(got) != "broker.txt" {
		t.Errorf("the broker's address comes from %s", got)
	}
	for _, name := range []string{"gateway", "api", "worker", "push"} {
		s := p.Services[name]
		soft := ""
		if value := s.Environment["GOMEMLIMIT"]; value != nil {
			soft = *value
		}
		checkMemory(t, name, soft, int64(s.Deploy.Resources.Limits.MemoryBytes))
	}
}

// checkMemory makes sure that Go knows of the container's limit, and keeps some
// way off: what it does not count, such as files in memory, comes on top.
func checkMemory(t *testing.T, name, soft string, hard int64) {
	t.Helper()
	mib, err := strconv.ParseInt(strings.TrimSuffix(soft, "MiB"), 10, 64)
	if err != nil {
		t.Errorf("GOMEMLIMIT of %s is %q", name, soft)
		return
	}
	if share := float64(mib<<20) / float64(hard); share < 0.8 || share > 0.9 {
		t.Errorf("GOMEMLIMIT of %s is %.0f %% of the container's memory, want about 85", name, 100*share)
	}
}

func TestComposeSeveralNodes(t *testing.T) {
	p := load(t, "compose.yaml", "compose.cluster.yaml")
	checkDependencies(t, p)
	addresses := map[string]string{}
	for _, name := range []string{"redis", "redis-2", "redis-3", "redis-4", "redis-5", "redis-6"} {
		s := p.Services[name]
		if !slices.Contains(s.Command, "--cluster-enabled") {
			t.Errorf("%s is no node of a cluster: %v", name, s.Command)
		}
		address := s.Networks["back"].Ipv4Address
		if other := addresses[address]; other != "" || address == "" {
			t.Errorf("%s has the address %q, as has %s", name, address, other)
		}
		addresses[address] = name
		if !slices.Contains(p.Services["redis-cluster"].Command, address+":6379") {
			t.Errorf("redis-cluster does not know %s", address)
		}
	}
	// No two nodes may share a folder.
	folders := map[string]string{}
	for name, s := range p.Services {
		for _, v := range s.Volumes {
			if v.Type != types.VolumeTypeVolume {
				continue
			}
			if other := folders[v.Source]; other != "" {
				t.Errorf("%s and %s share the volume %s", name, other, v.Source)
			}
			folders[v.Source] = name
		}
	}
	conf, err := os.ReadFile("../compose/rabbitmq-cluster.conf")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"rabbitmq", "rabbitmq-2", "rabbitmq-3"} {
		if p.Services[name].Hostname != name {
			t.Errorf("the host of %s is %q", name, p.Services[name].Hostname)
		}
		if !strings.Contains(string(conf), "= rabbit@"+name+"\n") {
			t.Errorf("the nodes do not know %s", name)
		}
	}
	for _, name := range []string{"gateway", "api", "worker", "push"} {
		s := p.Services[name]
		if s.Environment["HIKYAKU_DATABASE_REPLICAS_FILE"] == nil {
			t.Errorf("%s does not know the replica", name)
		}
		if s.DependsOn["redis-cluster"].Condition != types.ServiceConditionCompletedSuccessfully {
			t.Errorf("%s does not wait for the cluster of Redis", name)
		}
	}
	for secret, file := range map[string]string{"broker": "broker-cluster.txt", "redis": "redis-cluster.txt"} {
		if got := p.Secrets[secret].File; filepath.Base(got) != file {
			t.Errorf("the secret %s comes from %s, want %s", secret, got, file)
		}
	}
}

func TestComposeTLS(t *testing.T) {
	p := load(t, "compose.yaml", "compose.cluster.yaml", "compose.tls.yaml")
	checkDependencies(t, p)
	ports := p.Services["nginx"].Ports
	if len(ports) != 1 || ports[0].Target != 8443 {
		t.Errorf("nginx publishes %v, want 8443 alone", ports)
	}
}

// checkDependencies makes sure that all that a service waits for can come true,
// and that only nginx is reached from outside.
func checkDependencies(t *testing.T, p *types.Project) {
	t.Helper()
	for name, s := range p.Services {
		if len(s.Ports) > 0 && name != "nginx" {
			t.Errorf("%s publishes %v", name, s.Ports)
		}
		for other, d := range s.DependsOn {
			of, ok := p.Services[other]
			if !ok {
				t.Errorf("%s waits for %s, which is not there", name, other)
				continue
			}
			switch d.Condition {
			case types.ServiceConditionHealthy:
				if of.HealthCheck == nil || of.HealthCheck.Disable {
					t.Errorf("%s waits for the health of %s, which has no check", name, other)
				}
			case types.ServiceConditionCompletedSuccessfully:
				if of.Restart != "no" {
					t.Errorf("%s waits for the end of %s, which restarts", name, other)
				}
			default:
				t.Errorf("%s waits for %s only to be started", name, other)
			}
		}
	}
	for _, name := range []string{"gateway", "api", "worker", "push"} {
		if p.Services[name].DependsOn["migrate"].Condition != types.ServiceConditionCompletedSuccessfully {
			t.Errorf("%s does not wait for the schema", name)
		}
	}
}

// manifests are the objects of Kubernetes' own kinds, read strictly.
type manifests struct {
	deployments map[string]*appsv1.Deployment
	jobs        []*batchv1.Job
	services    map[string]*corev1.Service
	config      map[string]*corev1.ConfigMap
	ingresses   []*networkingv1.Ingress
	policies    []*networkingv1.NetworkPolicy
	budgets     []*policyv1.PodDisruptionBudget
	scalers     []*autoscalingv2.HorizontalPodAutoscaler
	custom      []map[string]any
}

func strict[T any](t *testing.T, path string, text []byte) *T {
	t.Helper()
	var v T
	text, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	// As the API server does it: a field in the wrong case is unknown as well.
	mistakes, err := json.UnmarshalStrict(text, &v)
	if err := errors.Join(append(mistakes, err)...); err != nil {
		t.Errorf("%s: %v", path, err)
	}
	return &v
}

func readManifests(t *testing.T) manifests {
	t.Helper()
	m := manifests{deployments: map[string]*appsv1.Deployment{}, services: map[string]*corev1.Service{}, config: map[string]*corev1.ConfigMap{}}
	paths, err := filepath.Glob("../kubernetes/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"migrate", "operators"} {
		more, err := filepath.Glob("../kubernetes/" + dir + "/*.yaml")
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, more...)
	}
	for _, path := range paths {
		if filepath.Base(path) == "kustomization.yaml" {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
		for {
			doc, err := reader.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			m.add(t, path, doc)
		}
	}
	return m
}

func (m *manifests) add(t *testing.T, path string, doc []byte) {
	t.Helper()
	var kind metav1.TypeMeta
	if err := yaml.Unmarshal(doc, &kind); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	switch kind.APIVersion + " " + kind.Kind {
	case "apps/v1 Deployment":
		d := strict[appsv1.Deployment](t, path, doc)
		m.deployments[d.Name] = d
	case "batch/v1 Job":
		m.jobs = append(m.jobs, strict[batchv1.Job](t, path, doc))
	case "v1 Service":
		s := strict[corev1.Service](t, path, doc)
		m.services[s.Name] = s
	case "v1 ConfigMap":
		c := strict[corev1.ConfigMap](t, path, doc)
		m.config[c.Name] = c
	case "v1 Namespace":
		strict[corev1.Namespace](t, path, doc)
	case "v1 ServiceAccount":
		strict[corev1.ServiceAccount](t, path, doc)
	case "networking.k8s.io/v1 Ingress":
		m.ingresses = append(m.ingresses, strict[networkingv1.Ingress](t, path, doc))
	case "networking.k8s.io/v1 NetworkPolicy":
		m.policies = append(m.policies, strict[networkingv1.NetworkPolicy](t, path, doc))
	case "policy/v1 PodDisruptionBudget":
		m.budgets = append(m.budgets, strict[policyv1.PodDisruptionBudget](t, path, doc))
	case "autoscaling/v2 HorizontalPodAutoscaler":
		m.scalers = append(m.scalers, strict[autoscalingv2.HorizontalPodAutoscaler](t, path, doc))
	case "keda.sh/v1alpha1 ScaledObject", "keda.sh/v1alpha1 TriggerAuthentication",
		"postgresql.cnpg.io/v1 Cluster", "rabbitmq.com/v1beta1 RabbitmqCluster", "redis.redis.opstreelabs.in/v1beta2 RedisCluster":
		var v map[string]any
		if err := yaml.UnmarshalStrict(doc, &v); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		m.custom = append(m.custom, v)
	default:
		t.Errorf("%s: nobody knows %s %s", path, kind.APIVersion, kind.Kind)
	}
}

func TestPods(t *testing.T) {
	m := readManifests(t)
	drain, err := time.ParseDuration(m.config["hikyaku"].Data["HIKYAKU_DRAIN"])
	if err != nil {
		t.Fatal(err)
	}
	if len(m.deployments) != 4 || len(m.jobs) != 1 {
		t.Fatalf("there are %d deployments and %d jobs", len(m.deployments), len(m.jobs))
	}
	for name, d := range m.deployments {
		t.Run(name, func(t *testing.T) {
			pod := d.Spec.Template
			selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
			if err != nil || !selector.Matches(labels.Set(pod.Labels)) {
				t.Errorf("its selector does not find its pods: %v", err)
			}
			if d.Spec.Replicas != nil {
				t.Error("it has a number of replicas, which the autoscaler would fight with")
			}
			if len(pod.Spec.TopologySpreadConstraints) != 2 {
				t.Error("it is not spread over zones and machines")
			}
			c := checkPod(t, pod.Spec)
			if c.ReadinessProbe == nil || c.LivenessProbe == nil || c.StartupProbe == nil {
				t.Error("a probe is missing")
			}
			soft := slices.IndexFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == "GOMEMLIMIT" })
			if soft < 0 {
				t.Fatal("GOMEMLIMIT is missing")
			}
			checkMemory(t, name, c.Env[soft].Value, c.Resources.Limits.Memory().Value())
			stop := drain + time.Duration(c.Lifecycle.PreStop.Sleep.Seconds)*time.Second
			if grace := time.Duration(*pod.Spec.TerminationGracePeriodSeconds) * time.Second; grace <= stop {
				t.Errorf("it is killed after %s, though a stop may take %s", grace, stop)
			}
		})
	}
	checkPod(t, m.jobs[0].Spec.Template.Spec)
}

// checkPod holds a pod to the "restricted" standard, and to its own files.
func checkPod(t *testing.T, pod corev1.PodSpec) corev1.Container {
	t.Helper()
	s := pod.SecurityContext
	if s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Error("the pod may run as root, or calls whatever it likes")
	}
	if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
		t.Error("the pod is given a token of Kubernetes")
	}
	c := pod.Containers[0]
	own := c.SecurityContext
	if *own.AllowPrivilegeEscalation || !*own.ReadOnlyRootFilesystem || !slices.Equal(own.Capabilities.Drop, []corev1.Capability{"ALL"}) {
		t.Error("the container may more than it needs")
	}
	if c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() {
		t.Error("the container's resources are not bounded")
	}
	files := map[string]bool{}
	for _, v := range pod.Volumes {
		var sources []corev1.KeyToPath
		if v.Secret != nil {
			sources = append(sources, v.Secret.Items...)
		}
		if v.Projected != nil {
			for _, p := range v.Projected.Sources {
				sources = append(sources, p.Secret.Items...)
			}
		}
		for _, mount := range c.VolumeMounts {
			if mount.Name != v.Name {
				continue
			}
			for _, item := range sources {
				files[filepath.Join(mount.MountPath, item.Path)] = true
			}
		}
	}
	for _, e := range c.Env {
		if strings.HasSuffix(e.Name, "_FILE") && !files[e.Value] {
			t.Errorf("%s is %s, which is not mounted", e.Name, e.Value)
		}
	}
	return c
}

func TestReferences(t *testing.T) {
	m := readManifests(t)
	for _, i := range m.ingresses {
		for _, rule := range i.Spec.Rules {
			for _, path := range rule.HTTP.Paths {
				s := m.services[path.Backend.Service.Name]
				if s == nil || s.Spec.Ports[0].Name != path.Backend.Service.Port.Name {
					t.Errorf("%s leads to a service that is not there: %s", path.Path, path.Backend.Service.Name)
				}
			}
		}
	}
	for name, s := range m.services {
		if name == "nobody" {
			continue
		}
		d := m.deployments[name]
		if !labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(d.Spec.Template.Labels)) {
			t.Errorf("the service %s finds no pods", name)
		}
	}
	for _, b := range m.budgets {
		selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
		if err != nil || !selector.Matches(labels.Set(m.deployments[b.Name].Spec.Template.Labels)) {
			t.Errorf("the budget %s finds no pods: %v", b.Name, err)
		}
	}
	scaled := map[string]bool{}
	pods, connections := 0, 0
	for _, h := range m.scalers {
		scaled[h.Spec.ScaleTargetRef.Name] = true
		pods += int(h.Spec.MaxReplicas)
	}
	for _, c := range m.custom {
		switch c["kind"] {
		case "ScaledObject":
			scaled[at(t, c, "spec", "scaleTargetRef", "name").(string)] = true
			pods += int(at(t, c, "spec", "maxReplicaCount").(float64))
		case "Cluster":
			limit := at(t, c, "spec", "postgresql", "parameters", "max_connections").(string)
			var err error
			if connections, err = strconv.Atoi(limit); err != nil {
				t.Error(err)
			}
		}
	}
	// Every process has a pool of 8.
	if 8*pods > connections {
		t.Errorf("there may be %d pods, for which PostgreSQL's %d connections are too few", pods, connections)
	}
	for name := range m.deployments {
		if !scaled[name] {
			t.Errorf("nothing scales %s", name)
		}
	}
	for _, p := range m.policies {
		if _, err := metav1.LabelSelectorAsSelector(&p.Spec.PodSelector); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
		if len(p.Spec.PolicyTypes) == 0 {
			t.Errorf("%s does not say what it is about", p.Name)
		}
	}
}

// at follows the keys down.
func at(t *testing.T, v any, keys ...string) any {
	t.Helper()
	for _, key := range keys {
		m, ok := v.(map[string]any)
		if !ok || m[key] == nil {
			t.Fatalf("%s is missing in %v", key, v)
		}
		v = m[key]
	}
	return v
}

// TestCustom looks at the operators' objects, whose types are not at hand: the
// parts on which others rely.
func TestCustom(t *testing.T) {
	m := readManifests(t)
	for _, c := range m.custom {
		switch c["kind"] {
		case "Cluster":
			if at(t, c, "spec", "instances") != 3.0 || at(t, c, "spec", "postgresql", "synchronous", "number") != 1.0 {
				t.Error("PostgreSQL has not three nodes of which two have every commit")
			}
			at(t, c, "spec", "storage", "size")
			at(t, c, "spec", "bootstrap", "initdb", "secret", "name")
			for name, value := range at(t, c, "spec", "postgresql", "parameters").(map[string]any) {
				if _, ok := value.(string); !ok {
					t.Errorf("PostgreSQL's %s is %v, which must be text", name, value)
				}
			}
		case "RabbitmqCluster":
			if at(t, c, "spec", "replicas") != 3.0 {
				t.Error("RabbitMQ has not three nodes")
			}
			at(t, c, "spec", "persistence", "storage")
		case "RedisCluster":
			if at(t, c, "spec", "clusterSize") != 3.0 {
				t.Error("Redis has not three masters")
			}
			name := at(t, c, "spec", "redisLeader", "redisConfig", "additionalRedisConfig").(string)
			if m.config[name] == nil {
				t.Errorf("the configuration %s is not there", name)
			}
		case "ScaledObject":
			for _, trigger := range at(t, c, "spec", "triggers").([]any) {
				for key, value := range at(t, trigger, "metadata").(map[string]any) {
					if _, ok := value.(string); !ok {
						t.Errorf("the trigger's %s is %v, which must be text", key, value)
					}
				}
			}
			if at(t, c, "metadata", "name") == "worker" && at(t, c, "spec", "maxReplicaCount") != 4.0 {
				t.Error("there may be more workers than partitions, or fewer")
			}
		}
	}
}

// TestConnections looks at the component that takes the place of the gateways'
// autoscaler.
func TestConnections(t *testing.T) {
	text, err := os.ReadFile("../kubernetes/connections/scaler.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var scaler map[string]any
	if err := yaml.UnmarshalStrict(text, &scaler); err != nil {
		t.Fatal(err)
	}
	m := readManifests(t)
	i := slices.IndexFunc(m.scalers, func(h *autoscalingv2.HorizontalPodAutoscaler) bool { return h.Name == "gateway" })
	if i < 0 {
		t.Fatal("there is no autoscaler whose place it could take")
	}
	replaced := m.scalers[i]
	if at(t, scaler, "spec", "scaleTargetRef", "name") != replaced.Spec.ScaleTargetRef.Name ||
		at(t, scaler, "spec", "maxReplicaCount") != float64(replaced.Spec.MaxReplicas) || at(t, scaler, "spec", "minReplicaCount") != float64(*replaced.Spec.MinReplicas) {
		t.Error("it does not scale what the other scaled, as far")
	}
	found := false
	for _, trigger := range at(t, scaler, "spec", "triggers").([]any) {
		for key, value := range at(t, trigger, "metadata").(map[string]any) {
			text, ok := value.(string)
			if !ok {
				t.Errorf("the trigger's %s is %v, which must be text", key, value)
			}
			found = found || strings.Contains(text, "hikyaku_gateway_connections")
		}
	}
	if !found {
		t.Error("it does not look at the connections")
	}
}

// TestMetricsPort: what the annotations say is where the processes tell their
// metrics, and Prometheus may reach it.
func TestMetricsPort(t *testing.T) {
	m := readManifests(t)
	_, port, ok := strings.Cut(m.config["hikyaku"].Data["HIKYAKU_METRICS_LISTEN"], ":")
	if !ok {
		t.Fatal("the processes do not tell their metrics")
	}
	for name, d := range m.deployments {
		pod := d.Spec.Template
		if got := pod.Annotations["prometheus.io/port"]; got != port || pod.Annotations["prometheus.io/scrape"] != "true" {
			t.Errorf("%s: Prometheus is sent to the port %q, not %s", name, got, port)
		}
		if !slices.ContainsFunc(pod.Spec.Containers[0].Ports, func(p corev1.ContainerPort) bool { return strconv.Itoa(int(p.ContainerPort)) == port }) {
			t.Errorf("%s: the port %s is not named", name, port)
		}
	}
	if !slices.ContainsFunc(m.policies, func(p *networkingv1.NetworkPolicy) bool {
		return p.Name == "metrics" && p.Spec.Ingress[0].Ports[0].Port.String() == port
	}) {
		t.Errorf("nobody may reach the port %s", port)
	}
}
