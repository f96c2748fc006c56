// Package compare compares runs of the load tool: what each group of repeated
// runs measured, how much its runs differ, and the ratio to the first group. It
// only computes.
package compare

import (
	"slices"
	"strings"

	"github.com/hikyaku-chat/hikyaku/internal/bench/report"
)

// Label is the run parameter that names the run's group.
const Label = "label"

// Group is runs that measured the same.
type Group struct {
	Name    string
	Reports []*report.Report
	// Reference is set for figures that were not measured here.
	Reference *Reference
}

// Set is the groups of one scenario, references first.
type Set struct {
	Scenario string
	Groups   []Group
}

// Sets groups reports by scenario and group, each in order of first appearance.
// Runs of one system with one label are repetitions of each other; without a
// label, runs with the same version and parameters are, ignoring incidental
// parameters. References are added to the scenarios that have runs.
func Sets(reports []*report.Report, references ...Reference) []Set {
	var sets []Set
	for _, r := range reports {
		i := slices.IndexFunc(sets, func(s Set) bool { return s.Scenario == r.Scenario })
		if i < 0 {
			i = len(sets)
			sets = append(sets, Set{Scenario: r.Scenario})
		}
		sets[i].add(r)
	}
	for i := range sets {
		sets[i].nameGroups()
		var first []Group
		for _, b := range references {
			if b.Scenario == sets[i].Scenario {
				first = append(first, Group{Name: b.Name, Reference: &b})
			}
		}
		sets[i].Groups = append(first, sets[i].Groups...)
	}
	return sets
}

func (s *Set) add(r *report.Report) {
	for i := range s.Groups {
		if slices.Equal(attributes(s.Groups[i].Reports[0]), attributes(r)) {
			s.Groups[i].Reports = append(s.Groups[i].Reports, r)
			return
		}
	}
	s.Groups = append(s.Groups, Group{Reports: []*report.Report{r}})
}

// attribute distinguishes runs.
type attribute struct{ name, value string }

// attributes returns all attributes of a run, the most significant first.
func attributes(r *report.Report) []attribute {
	all := []attribute{{"", r.Target}}
	if label := r.Parameters[Label]; label != "" {
		return append(all, attribute{"", label})
	}
	all = append(all, attribute{"", r.Versions.Target}, attribute{"revision", r.Versions.Revision})
	for _, name := range sortedNames(r.Parameters) {
		if isIncidental(r, name) {
			continue
		}
		all = append(all, attribute{name, r.Parameters[name]})
	}
	return append(all, attribute{"", r.Machine.Processor})
}

// isIncidental reports whether nobody chose a parameter: a system that the
// suite started itself listens on a free port, and the rate of its burst
// follows from the result of latency.
func isIncidental(r *report.Report, name string) bool {
	return r.Parameters["started"] != "" && (name == "url" || name == "load")
}

func sortedNames(parameters map[string]string) []string {
	all := make([]string, 0, len(parameters))
	for name := range parameters {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// nameGroups gives each group the shortest name that distinguishes it from the
// others: the system's, and the attributes in which groups of that system differ.
func (s *Set) nameGroups() {
	for i := range s.Groups {
		r := s.Groups[i].Reports[0]
		if label := r.Parameters[Label]; label != "" {
			s.Groups[i].Name = label
			continue
		}
		words := []string{r.Target}
		for _, t := range attributes(r)[1:] {
			if t.value == "" || s.allHave(r.Target, t) {
				continue
			}
			if t.name != "" {
				t.value = t.name + " " + t.value
			}
			words = append(words, t.value)
		}
		s.Groups[i].Name = words[0]
		if len(words) > 1 {
			s.Groups[i].Name += " (" + strings.Join(words[1:], ", ") + ")"
		}
	}
}

// allHave reports whether every group of a system without a label has an attribute.
func (s *Set) allHave(target string, t attribute) bool {
	return !slices.ContainsFunc(s.Groups, func(g Group) bool {
		r := g.Reports[0]
		return r.Target == target && r.Parameters[Label] == "" && !slices.Contains(attributes(r), t)
	})
}
