package deploy_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"
)

// service is what these tests ask about a service of Compose.
type service struct {
	Image           string
	User            string
	Entrypoint      []string
	Command         []string
	Ports           []any
	Volumes         []string
	Tmpfs           []string
	Environment     map[string]string
	Secrets         []any
	Healthcheck     map[string]any
	Restart         string
	ReadOnly        bool     `yaml:"read_only"`
	CapDrop         []string `yaml:"cap_drop"`
	CapAdd          []string `yaml:"cap_add"`
	SecurityOpt     []string `yaml:"security_opt"`
	StopGracePeriod string   `yaml:"stop_grace_period"`
	ContainerName   string   `yaml:"container_name"`
	Privileged      bool
	NetworkMode     string `yaml:"network_mode"`
	Deploy          struct {
		Resources struct{ Limits map[string]any }
	}
	Networks any
}

type project struct {
	Services map[string]service
	Volumes  map[string]any
	Networks map[string]any
	Secrets  map[string]struct{ File string }
}

var composeProjects = map[string][]string{
	"one node":      {"compose.yaml"},
	"several nodes": {"compose.yaml", "compose.cluster.yaml"},
	"TLS":           {"compose.yaml", "compose.tls.yaml"},
	"everything":    {"compose.yaml", "compose.cluster.yaml", "compose.tls.yaml"},
}

// jobs run once and end.
var jobs = []string{"migrate", "redis-cluster"}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// compose lays the files over each other as Compose does, as far as these
// tests need it; check/ does it with Compose's own code.
func compose(t *testing.T, files ...string) project {
	t.Helper()
	whole := map[string]any{}
	for _, file := range files {
		var layer map[string]any
		if err := yaml.Unmarshal([]byte(read(t, filepath.Join("compose", file))), &layer); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		services, _ := layer["services"].(map[string]any)
		for name, s := range services {
			own, _ := s.(map[string]any)
			extends, ok := own["extends"].(map[string]any)
			if !ok {
				continue
			}
			if extends["file"] != "compose.yaml" {
				t.Fatalf("%s: %s extends %v", file, name, extends)
			}
			var base map[string]any
			if err := yaml.Unmarshal([]byte(read(t, "compose/compose.yaml")), &base); err != nil {
				t.Fatal(err)
			}
			of := base["services"].(map[string]any)[extends["service"].(string)].(map[string]any)
			delete(own, "extends")
			services[name] = over(of, own)
		}
		whole = over(whole, layer).(map[string]any)
	}
	text, err := yaml.Marshal(whole)
	if err != nil {
		t.Fatal(err)
	}
	var p project
	if err := yaml.Unmarshal(text, &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// over lays b over a: mappings key by key, commands as a whole, other lists one
// after the other.
func over(a, b any) any {
	switch b := b.(type) {
	case map[string]any:
		a, ok := a.(map[string]any)
		if !ok {
			return b
		}
		out := maps.Clone(a)
		for key, value := range b {
			old, ok := out[key]
			if !ok || key == "command" || key == "entrypoint" || key == "test" || key == "networks" {
				out[key] = value
				continue
			}
			out[key] = over(old, value)
		}
		return out
	case []any:
		if a, ok := a.([]any); ok {
			return append(slices.Clone(a), b...)
		}
	}
	return b
}

func TestCompose(t *testing.T) {
	for name, files := range composeProjects {
		t.Run(name, func(t *testing.T) {
			p := compose(t, files...)
			for _, must := range []string{"nginx", "gateway", "api", "worker", "push", "migrate", "rabbitmq", "redis", "postgres"} {
				if _, ok := p.Services[must]; !ok {
					t.Errorf("the service %s is missing", must)
				}
			}
			for name, s := range p.Services {
				t.Run(name, func(t *testing.T) { checkService(t, p, name, s) })
			}
			for name, s := range p.Secrets {
				if !strings.HasPrefix(s.File, "./secrets/") {
					t.Errorf("the secret %s comes from %q, want a file in ./secrets", name, s.File)
				}
			}
		})
	}
}

func checkService(t *testing.T, p project, name string, s service) {
	checkImage(t, s.Image)
	if len(s.Ports) > 0 && name != "nginx" {
		t.Errorf("it publishes %v, as only nginx may", s.Ports)
	}
	if name == "nginx" && len(s.Ports) == 0 {
		t.Error("nginx publishes no port")
	}
	if s.ContainerName != "" {
		t.Error("it has a container_name, so there can be only one of it")
	}
	if slices.Contains(jobs, name) {
		if s.Restart != "no" {
			t.Errorf("it runs once, yet its restart is %q", s.Restart)
		}
	} else {
		if s.Healthcheck["test"] == nil || s.Healthcheck["disable"] == true {
			t.Error("it has no health check")
		}
		if s.Restart != "unless-stopped" {
			t.Errorf("restart is %q", s.Restart)
		}
	}
	if !s.ReadOnly || !slices.Contains(s.CapDrop, "ALL") || len(s.CapAdd) > 0 || s.Privileged || s.NetworkMode != "" {
		t.Error("it may write to its image or keeps capabilities")
	}
	if !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
		t.Error("it may gain privileges")
	}
	if s.Deploy.Resources.Limits["memory"] == nil || s.Deploy.Resources.Limits["cpus"] == nil {
		t.Error("it has no limits of memory and processors")
	}
	if s.Networks == nil {
		t.Error("it is in the default network")
	}
	for _, v := range s.Volumes {
		source, _, _ := strings.Cut(v, ":")
		if !strings.HasPrefix(source, ".") {
			if _, ok := p.Volumes[source]; !ok {
				t.Errorf("the volume %s is not declared", source)
			}
			continue
		}
		if !strings.HasSuffix(v, ":ro") {
			t.Errorf("%s is not mounted read-only", v)
		}
		if source == "./tls" { // the operator's certificate
			continue
		}
		if _, err := os.Stat(filepath.Join("compose", source)); err != nil {
			t.Errorf("what %s mounts is not there: %v", v, err)
		}
	}
	files := map[string]bool{}
	for _, secret := range s.Secrets {
		source := secret
		if long, ok := secret.(map[string]any); ok {
			source = long["source"]
		}
		if _, ok := p.Secrets[source.(string)]; !ok {
			t.Errorf("the secret %v is not declared", source)
		}
		files["/run/secrets/"+source.(string)] = true
	}
	for key, value := range s.Environment {
		if strings.HasSuffix(key, "_FILE") && !files[value] {
			t.Errorf("%s is %s, which is none of its secrets", key, value)
		}
	}
	if drain := s.Environment["HIKYAKU_DRAIN"]; drain != "" {
		if grace := s.StopGracePeriod; duration(t, grace) <= duration(t, drain) {
			t.Errorf("it is killed after %s, though it may drain for %s", grace, drain)
		}
	}
}

func duration(t *testing.T, s string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

var pinned = regexp.MustCompile(`^[a-z0-9./-]+:v?[0-9]+\.[0-9]+(\.[0-9]+)?(-[a-z0-9.-]+)?$`)

func checkImage(t *testing.T, image string) {
	t.Helper()
	if image != "hikyaku:${VERSION:-dev}" && !pinned.MatchString(image) {
		t.Errorf("the image %q has no version", image)
	}
}

// files are all files below the folders, but for what git does not keep.
func files(t *testing.T, dirs ...string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() {
				if d.Name() == "secrets" || d.Name() == "tls" {
					return filepath.SkipDir
				}
				return nil
			}
			if d.Name() != ".env" {
				out[path] = read(t, path)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func TestNoSecrets(t *testing.T) {
	inAddress := regexp.MustCompile(`://[^\s/@]*:([^\s/@]+)@`)
	long := regexp.MustCompile(`\b[0-9a-f]{24,}\b`)
	plain := regexp.MustCompile(`(?im)^\s*"?[a-z_-]*(password|passwd|secret_key|cookie)"?\s*[:=]\s*["']?([a-z0-9]\S*)`)
	for path, text := range files(t, "compose", "kubernetes", "docker", "nginx", "rabbitmq", "redis", "postgresql") {
		for _, m := range inAddress.FindAllStringSubmatch(text, -1) {
			if !strings.ContainsAny(m[1], "%$") {
				t.Errorf("%s: a password in an address: %s", path, m[0])
			}
		}
		if m := long.FindString(text); m != "" {
			t.Errorf("%s: this looks like a key: %s", path, m)
		}
		for _, m := range plain.FindAllStringSubmatch(text, -1) {
			// In Compose, the declarations of secrets are mappings, not values.
			if strings.HasPrefix(m[2], "$") {
				continue
			}
			t.Errorf("%s: a password in the open: %s", path, strings.TrimSpace(m[0]))
		}
	}
}

func TestDockerfile(t *testing.T) {
	text := read(t, "docker/Dockerfile")
	from := regexp.MustCompile(`(?m)^FROM (?:--platform=\S+ )?(\S+)`)
	stages := from.FindAllStringSubmatch(text, -1)
	if len(stages) != 3 {
		t.Fatalf("found %d stages, want 3", len(stages))
	}
	for _, stage := range stages {
		if stage[1] != "scratch" {
			checkImage(t, stage[1])
		}
	}
	for _, line := range []string{"USER 65532:65532", `CMD ["/hikyaku", "healthcheck"]`, "CGO_ENABLED=0", "-trimpath", "-X main.release="} {
		if !strings.Contains(text, line) {
			t.Errorf("%q is missing", line)
		}
	}
	// The compiler must be the one that the module asks for.
	want := regexp.MustCompile(`(?m)^go ([0-9]+\.[0-9]+)`).FindStringSubmatch(read(t, "../go.mod"))[1]
	if !strings.Contains(text, "golang:"+want+".") {
		t.Errorf("the compiler is not Go %s", want)
	}
	for _, out := range []string{".git", "web/node_modules", "deploy/compose/secrets", "**/.env"} {
		if !slices.Contains(strings.Split(read(t, "../.dockerignore"), "\n"), out) {
			t.Errorf(".dockerignore lets %s in", out)
		}
	}
}

// TestMakeSecrets runs the script in a folder of its own.
func TestMakeSecrets(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "make-secrets")
	if err := os.WriteFile(script, []byte(read(t, "compose/make-secrets")), 0o700); err != nil {
		t.Fatal(err)
	}
	run := func() string {
		out, err := exec.CommandContext(t.Context(), "bash", script).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	run()
	secrets := filepath.Join(dir, "secrets")
	info, err := os.Stat(secrets)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o700 {
		t.Errorf("the folder's mode is %o, want 700", mode)
	}
	first := map[string]string{}
	for _, files := range composeProjects {
		for name, s := range compose(t, files...).Secrets {
			text := read(t, filepath.Join(dir, s.File))
			if text == "" {
				t.Errorf("the secret %s is empty", name)
			}
			first[s.File] = text
		}
	}
	if addresses := strings.Split(first["./secrets/broker-cluster.txt"], ","); len(addresses) != 3 {
		t.Errorf("the brokers are %d, want 3", len(addresses))
	}
	if out := run(); out != "" {
		t.Errorf("the second run wrote %s", out)
	}
	for file, text := range first {
		if read(t, filepath.Join(dir, file)) != text {
			t.Errorf("the second run changed %s", file)
		}
	}
}

type object struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   struct{ Name, Namespace string }
	Spec       map[string]any
	Resources  []string // of a kustomization
}

func objects(t *testing.T, text string) []object {
	t.Helper()
	var out []object
	decoder := yaml.NewDecoder(strings.NewReader(text))
	for {
		var o object
		err := decoder.Decode(&o)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, o)
	}
}

func TestKubernetes(t *testing.T) {
	seen := map[string]bool{}
	image := regexp.MustCompile(`(?m)^\s*(?:image|imageName): (\S+)$`)
	for path, text := range files(t, "kubernetes") {
		if filepath.Ext(path) != ".yaml" {
			continue
		}
		for _, m := range image.FindAllStringSubmatch(text, -1) {
			checkImage(t, m[1])
		}
		for _, o := range objects(t, text) {
			if o.Kind == "Kustomization" || o.Kind == "Component" {
				listed := append(o.Resources, "kustomization.yaml")
				here, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*.yaml"))
				for i := range here {
					here[i] = filepath.Base(here[i])
				}
				slices.Sort(listed)
				slices.Sort(here)
				if !slices.Equal(listed, here) {
					t.Errorf("%s lists %v, there are %v", path, listed, here)
				}
				continue
			}
			if o.APIVersion == "" || o.Kind == "" || o.Metadata.Name == "" {
				t.Errorf("%s: an object without a name or a kind: %+v", path, o)
			}
			if o.Kind != "Namespace" && o.Metadata.Namespace != "hikyaku" {
				t.Errorf("%s: %s %s is in the namespace %q", path, o.Kind, o.Metadata.Name, o.Metadata.Namespace)
			}
			if o.Kind == "Secret" {
				t.Errorf("%s holds the secret %s", path, o.Metadata.Name)
			}
			id := o.Kind + "/" + o.Metadata.Name
			if seen[id] {
				t.Errorf("%s: there are two of %s", path, id)
			}
			seen[id] = true
		}
	}
	want := []string{"Job/migrate", "Cluster/hikyaku-postgresql", "RabbitmqCluster/hikyaku-rabbitmq", "RedisCluster/hikyaku-redis"}
	for _, component := range []string{"gateway", "api", "worker", "push"} {
		want = append(want, "Deployment/"+component, "PodDisruptionBudget/"+component)
	}
	for _, id := range want {
		if !seen[id] {
			t.Errorf("%s is missing", id)
		}
	}
}

// TestKustomize builds what kubectl would apply, where kubectl is installed.
func TestKustomize(t *testing.T) {
	kubectl, err := exec.LookPath("kubectl")
	if err != nil {
		t.Skip("kubectl is not installed")
	}
	for _, dir := range []string{"kubernetes", "kubernetes/migrate", "kubernetes/operators"} {
		cmd := exec.CommandContext(t.Context(), kubectl, "kustomize", dir)
		var complaint bytes.Buffer
		cmd.Stderr = &complaint
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("%s: %v: %s", dir, err, complaint.Bytes())
			continue
		}
		if len(objects(t, string(out))) == 0 {
			t.Errorf("%s is empty", dir)
		}
	}
}
