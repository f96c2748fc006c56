package compare

// Reference is published figures to compare measured ones with.
type Reference struct {
	Name     string
	Scenario string
	Source   string             // what a reader must know of them
	Figures  map[string]float64 // by the names of the figures; none where what was published is no figure of this tool
}

const publishedAs = "original (published)"

// Published are the figures that the author of the design that Hikyaku began
// from published. This tool measured none of them.
var Published = []Reference{
	{
		Name: publishedAs, Scenario: "latency", Figures: map[string]float64{"msgs_per_s": 1200, "p95": 170},
		Source: "Published figures of the original design, on its author's 8-core laptop; not measured by this tool, and on another machine.",
	},
	{
		Name: publishedAs, Scenario: "burst", Source: "At most 20 messages in its broker's queue, in a burst of 30 s on its author's 8-core laptop. It was the broker's own queue; this tool sees from outside what was accepted and has not yet arrived, so the two are not compared.",
	},
	{
		Name: publishedAs, Scenario: "connections", Figures: map[string]float64{"connections": 50, "connected": 100},
		Source: "Published figures of the original design, on its author's 8-core laptop; not measured by this tool.",
	},
}
