package main

import (
	"fmt"
	"io"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// progress is a bar on a terminal and nothing in a pipe.
type progress struct {
	box *mpb.Progress
	bar *mpb.Bar

	total uint64
}

// newProgress starts a bar over total bytes; quiet, or a stderr that is no terminal, gives one that draws nothing.
func (a *app) newProgress(what string, total uint64) *progress {
	if a.json || !terminal(a.stderr) || total == 0 {
		return &progress{}
	}
	return drawProgress(a.stderr, what, total)
}

func drawProgress(w io.Writer, what string, total uint64) *progress {
	box := mpb.New(mpb.WithOutput(w), mpb.WithWidth(48), mpb.WithRefreshRate(120*time.Millisecond))
	bar := box.New(int64(total), mpb.BarStyle().Lbound("").Rbound("").Filler("━").Tip("━").Padding("─"),
		mpb.PrependDecorators(decor.Name(what+" ")),
		mpb.AppendDecorators(
			decor.CountersKibiByte("% .1f / % .1f"),
			decor.AverageSpeed(decor.SizeB1024(0), "  % .1f"),
			decor.OnComplete(decor.AverageETA(decor.ET_STYLE_GO, decor.WC{W: 8}), "   done"),
		))
	return &progress{box: box, bar: bar, total: total}
}

// set moves the bar to done bytes.
func (p *progress) set(done uint64) {
	if p.bar != nil {
		p.bar.SetCurrent(int64(done))
	}
}

// end takes the bar away if the work broke off, and waits until the last state is drawn.
func (p *progress) end(ok bool) {
	if p.bar == nil {
		return
	}
	if ok {
		// What needed no sending, being there already, was not counted.
		p.bar.SetCurrent(int64(p.total))
	} else {
		p.bar.Abort(true)
	}
	p.box.Wait()
}

// counter counts on a terminal, in place, and nowhere else.
type counter struct {
	w     io.Writer // nil: no terminal
	what  string
	n     int
	shown time.Time
}

// newCounter starts to count what is done. One goroutine at a time.
func (a *app) newCounter(what string) *counter {
	c := &counter{what: what}
	if !a.json && terminal(a.stderr) {
		c.w = a.stderr
	}
	return c
}

// add counts one.
func (c *counter) add() {
	c.n++
	if now := time.Now(); c.w != nil && now.Sub(c.shown) > 120*time.Millisecond {
		c.shown = now
		fmt.Fprintf(c.w, "\r\x1b[K%s %d", c.what, c.n)
	}
}

// end takes the number away.
func (c *counter) end() {
	if c.w != nil && !c.shown.IsZero() {
		fmt.Fprint(c.w, "\r\x1b[K")
	}
}
