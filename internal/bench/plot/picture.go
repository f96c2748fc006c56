package plot

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"
	"sync"

	"codeberg.org/go-fonts/liberation/liberationsansbold"
	"codeberg.org/go-fonts/liberation/liberationsansregular"
	"golang.org/x/image/font/opentype"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/vgimg"

	"github.com/hikyaku-chat/hikyaku/internal/bench/chart"
)

// A picture is 800 wide, as documents show it, and has twice as many pixels.
const (
	width, height = 800, 440
	pixelRatio    = 2
	pixel         = vg.Inch / 96
)

var (
	backgroundColor = color.NRGBA{0xfd, 0xfc, 0xfb, 0xff}
	textColor       = color.NRGBA{0x1f, 0x1d, 0x1a, 0xff}
	mutedColor      = color.NRGBA{0x5f, 0x59, 0x52, 0xff}
	gridColor       = color.NRGBA{0xe7, 0xe3, 0xdd, 0xff}
	bandColor       = color.NRGBA{0xf5, 0xf2, 0xee, 0xff}
	limitColor      = color.NRGBA{0x9b, 0x2c, 0x2c, 0xff}
	publishedColor  = color.NRGBA{0x85, 0x7d, 0x74, 0xff}

	// The same as on the page; distinguishable with color vision deficiency.
	lineColors = []color.NRGBA{
		{0x0a, 0x6c, 0xb0, 0xff},
		{0xd2, 0x50, 0x0f, 0xff},
		{0x3b, 0x38, 0x34, 0xff},
		{0x0a, 0x8f, 0x6c, 0xff},
		{0xa6, 0x4d, 0x92, 0xff},
		{0xa4, 0x75, 0x00, 0xff},
	}
)

func lineColor(n int) color.NRGBA {
	if n < 0 {
		return publishedColor
	}
	return lineColors[n%len(lineColors)]
}

var loadFonts = sync.OnceValues(func() (map[bool]*opentype.Font, error) {
	regular, err := opentype.Parse(liberationsansregular.TTF)
	if err != nil {
		return nil, fmt.Errorf("read the font: %w", err)
	}
	bold, err := opentype.Parse(liberationsansbold.TTF)
	if err != nil {
		return nil, fmt.Errorf("read the font: %w", err)
	}
	return map[bool]*opentype.Font{false: regular, true: bold}, nil
})

// picture is a canvas with coordinates in pixels of a width of 800, from the
// top left.
type picture struct {
	canvas *vgimg.Canvas
	fonts  map[bool]*opentype.Font
	x, y   axis

	left, top, right, bottom float64 // of the plot
}

func newPicture(c chart.Chart) (*picture, error) {
	fonts, err := loadFonts()
	if err != nil {
		return nil, err
	}
	canvas := vgimg.NewWith(vgimg.UseWH(width*pixel, height*pixel), vgimg.UseDPI(96*pixelRatio), vgimg.UseBackgroundColor(backgroundColor))
	return &picture{canvas: canvas, fonts: fonts, x: newAxis(c, true), y: newAxis(c, false)}, nil
}

func point(x, y float64) vg.Point {
	return vg.Point{X: vg.Length(x) * pixel, Y: (height - vg.Length(y)) * pixel}
}

func (p *picture) face(size float64, bold bool) font.Face {
	return font.Face{Font: font.Font{Size: vg.Length(size) * pixel}, Face: p.fonts[bold]}
}

// text draws a text. align is the position of x in it: 0 left, 0.5 center, 1
// right.
func (p *picture) text(x, y float64, align float64, size float64, bold bool, c color.Color, text string) (w float64) {
	face := p.face(size, bold)
	w = float64(face.Width(text) / pixel)
	p.canvas.SetColor(c)
	p.canvas.FillString(face, point(x-align*w, y), text)
	return w
}

// rect fills whole pixels, so that no seams show between neighbors.
func (p *picture) rect(left, top, right, bottom float64, c color.Color) {
	round := func(v float64) int { return int(math.Round(v * pixelRatio)) }
	area := image.Rect(round(left), round(top), round(right), round(bottom))
	draw.Draw(p.canvas.Image(), area, image.NewUniform(c), image.Point{}, draw.Src)
}

// area fills the area between points and the bottom of the plot.
func (p *picture) area(points [][2]float64, c color.NRGBA) {
	c.A = 28
	var path vg.Path
	path.Move(point(points[0][0], p.bottom))
	for _, q := range points {
		path.Line(point(q[0], q[1]))
	}
	path.Line(point(points[len(points)-1][0], p.bottom))
	path.Close()
	p.canvas.SetColor(c)
	p.canvas.Fill(path)
}

func (p *picture) line(points [][2]float64, thick float64, c color.Color, dash chart.Dash) {
	if len(points) < 2 {
		return
	}
	var path vg.Path
	path.Move(point(points[0][0], points[0][1]))
	for _, q := range points[1:] {
		path.Line(point(q[0], q[1]))
	}
	pattern := map[chart.Dash][]vg.Length{chart.Dashed: {7 * pixel, 4 * pixel}, chart.Dotted: {2 * pixel, 3 * pixel}}[dash]
	p.canvas.SetLineWidth(vg.Length(thick) * pixel)
	p.canvas.SetLineDash(pattern, 0)
	p.canvas.SetColor(c)
	p.canvas.Stroke(path)
	p.canvas.SetLineDash(nil, 0)
}

func (p *picture) mark(x, y, size float64, c color.Color, full bool) {
	circle := func(r float64, c color.Color) {
		var path vg.Path
		center := point(x, y)
		path.Move(vg.Point{X: center.X + vg.Length(r)*pixel, Y: center.Y})
		path.Arc(center, vg.Length(r)*pixel, 0, 6.283185307179586)
		path.Close()
		p.canvas.SetColor(c)
		p.canvas.Fill(path)
	}
	circle(size, c)
	if !full {
		circle(size-1.8, backgroundColor)
	}
}
