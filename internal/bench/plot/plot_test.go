package plot

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hikyaku-chat/hikyaku/internal/bench/chart"
	"github.com/hikyaku-chat/hikyaku/internal/bench/compare"
	"github.com/hikyaku-chat/hikyaku/internal/bench/humanize"
	"github.com/hikyaku-chat/hikyaku/internal/bench/report"
	"github.com/hikyaku-chat/hikyaku/internal/bench/report/reporttest"
)

func decode(t *testing.T, b []byte) image.Image {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if size := img.Bounds().Size(); size != image.Pt(width*pixelRatio, height*pixelRatio) {
		t.Errorf("it has %v pixels", size)
	}
	return img
}

// counts is how often each color is in a picture.
func counts(img image.Image) map[color.NRGBA]int {
	pix := img.(*image.RGBA).Pix // opaque, as png.Decode gives it
	n := map[color.NRGBA]int{}
	for i := 0; i < len(pix); i += 4 * 3 { // of every third pixel
		n[color.NRGBA{pix[i], pix[i+1], pix[i+2], pix[i+3]}]++
	}
	return n
}

// Every chart is drawn: opaque, and with something in it.
func TestWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pictures")
	files, err := Write(dir, []*report.Report{reporttest.Recorded("latency"), reporttest.Connections()}, compare.Published...)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"latency-over-rate", "latency-rate", "latency-queue", "latency-heat",
		"connections", "connections-connect", "connections-memory",
	} {
		if !slices.Contains(files, filepath.Join(dir, name+".png")) {
			t.Errorf("%s is not there", name)
		}
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		n := counts(decode(t, b))
		if n[backgroundColor] < 50_000 || len(n) < 20 {
			t.Errorf("%s: %d colors, %d of ground", file, len(n), n[backgroundColor])
		}
		if drawn := n[lineColors[0]] + n[lineColors[1]] + n[lineColors[2]]; drawn < 300 && !strings.Contains(file, "-heat") {
			t.Errorf("%s: its lines have %d pixels", file, drawn)
		}
		for c := range n {
			if c.A != 0xff {
				t.Fatalf("%s is not opaque", file)
			}
		}
	}
}

// A point is where its values say, on axes of either kind.
func TestPlace(t *testing.T) {
	c := chart.Chart{
		X:     chart.Axis{Unit: humanize.Count, Log: true},
		Y:     chart.Axis{Unit: humanize.Milliseconds},
		Lines: []chart.Line{{Marks: true, X: []float64{10, 100, 1000}, Y: []float64{0, 50, 100}}},
	}
	var b bytes.Buffer
	if err := Draw(&b, c, "a system"); err != nil {
		t.Fatal(err)
	}
	img := decode(t, b.Bytes())
	p, err := newPicture(c)
	if err != nil {
		t.Fatal(err)
	}
	p.draw(c, "a system")
	middle := (p.left + p.right) / 2
	if x := p.px(100); x < middle-0.5 || x > middle+0.5 {
		t.Errorf("the middle of a logarithmic axis is at %v, not %v", x, middle)
	}
	if y := p.py(0); y != p.bottom {
		t.Errorf("0 is at %v, not %v", y, p.bottom)
	}
	for i, x := range c.Lines[0].X {
		at := img.At(int(p.px(x)*pixelRatio), int(p.py(c.Lines[0].Y[i])*pixelRatio))
		if got := color.NRGBAModel.Convert(at); got != lineColors[0] {
			t.Errorf("at %v there is %v", x, got)
		}
	}
}

// A line is not drawn across a time in which nothing is known.
func TestGap(t *testing.T) {
	draw := func(gap float64) int {
		c := chart.Chart{Y: chart.Axis{Unit: humanize.Count}, Lines: []chart.Line{{Gap: gap, X: []float64{0, 1, 9, 10}, Y: []float64{5, 5, 5, 5}}}}
		var b bytes.Buffer
		if err := Draw(&b, c, ""); err != nil {
			t.Fatal(err)
		}
		return counts(decode(t, b.Bytes()))[lineColors[0]]
	}
	if whole, broken := draw(0), draw(4); broken*3 > whole || broken == 0 {
		t.Errorf("the line has %d pixels, with a gap %d", whole, broken)
	}
}

// A report from elsewhere cannot write anywhere else.
func TestNames(t *testing.T) {
	r := reporttest.Fanout()
	r.Scenario = "../../x/Y"
	dir := t.TempDir()
	files, err := Write(dir, []*report.Report{r})
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, f := range files {
		if filepath.Dir(f) != dir {
			t.Errorf("%s", f)
		}
	}
}

func TestNothing(t *testing.T) {
	files, err := Write(t.TempDir(), []*report.Report{report.New("latency", "x", "1"), report.New("unknown", "x", "1")})
	if err != nil || len(files) != 0 {
		t.Errorf("%v %v", files, err)
	}
}
