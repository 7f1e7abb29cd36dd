package main

import (
	"bytes"
	"fmt"
	"image/color"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/autoresearch-go/autoresearch/experiment"
)

// newPlot makes "plot".
func newPlot(a *app) *cobra.Command {
	var tag, out string
	c := &cobra.Command{
		Use: "plot", Short: "progress chart of a campaign, as PNG or SVG", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			format, err := plotFormat(out)
			if err != nil {
				return err
			}
			campaign, results, err := a.results(cmd.Context(), tag)
			if err != nil {
				return err
			}
			if out == "" {
				out = campaign + ".png"
			}
			if !filepath.IsAbs(out) {
				out = filepath.Join(a.dir, out)
			}
			if err := savePlot(campaign, results, out, format); err != nil {
				return err
			}
			return a.printPlot(campaign, out)
		},
	}
	tagFlag(c, &tag)
	c.Flags().StringVarP(&out, "output", "o", "", "`FILE`.png or FILE.svg (default TAG.png)")
	return c
}

// plotFormat is told by the file's ending.
func plotFormat(out string) (string, error) {
	switch ext := strings.ToLower(filepath.Ext(out)); {
	case out == "", ext == ".png":
		return "png", nil
	case ext == ".svg":
		return "svg", nil
	}
	return "", usage("name a file that ends in .png or .svg", "cannot draw into %s: its format is not known", out)
}

// savePlot draws the chart and writes it in one step, so that a viewer that
// watches the file never sees half of it.
func savePlot(tag string, results []experiment.Result, out, format string) error {
	p, err := chart(tag, results)
	if err != nil {
		return err
	}
	canvas, err := draw.NewFormattedCanvas(11*vg.Inch, 6*vg.Inch, format)
	if err != nil {
		return fmt.Errorf("draw %s: %w", out, err)
	}
	page := draw.New(canvas)
	page.SetColor(color.White) // the margin too
	page.Fill(page.Rectangle.Path())
	p.Draw(draw.Crop(page, 10, -14, 10, -8))
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return fmt.Errorf("draw %s: %w", out, err)
	}
	tmp := out + ".tmp"
	if err := os.WriteFile(tmp, b.Bytes(), 0o644); err != nil {
		return usage("name another file with -o", "cannot write %s: %w", out, reason(err))
	}
	if err := os.Rename(tmp, out); err != nil {
		os.Remove(tmp)
		return usage("name another file with -o", "cannot write %s: %w", out, err)
	}
	return nil
}

// printPlot names the file: it is the command's data.
func (a *app) printPlot(tag, out string) error {
	if a.json {
		return a.object(struct {
			Campaign string `json:"campaign"`
			File     string `json:"file"`
		}{tag, out})
	}
	a.line(out)
	return nil
}
