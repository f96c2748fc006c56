package compare

// Reference is figures that somebody published, to be set beside measured ones.
type Reference struct {
	Name     string
	Scenario string
	Source   string             // what a reader must know of them
	Figures  map[string]float64 // by the names of the figures
}

const publishedAs = "original (published)"

// Published is what the author of the design that Hikyaku began from published
// of it: nothing of it was measured by this tool.
var Published = []Reference{
	{
		Name: publishedAs, Scenario: "latency", Figures: map[string]float64{"msgs_per_s": 1200, "p95": 170},
		Source: "Published figures of the original design, on its author's 8-core laptop; not measured by this tool, and on another machine.",
	},
	{
		Name: publishedAs, Scenario: "burst", Figures: map[string]float64{"queue_peak": 20},
		Source: "Published figure of the original design, from a burst of 30 s on its author's 8-core laptop; not measured by this tool, and under another load.",
	},
	{
		Name: publishedAs, Scenario: "connections", Figures: map[string]float64{"connections": 50, "connected": 100},
		Source: "Published figures of the original design, on its author's 8-core laptop; not measured by this tool.",
	},
}
