package main

import (
	"context"
	"log/slog"
	"os"
	"slices"

	"github.com/lmittmann/tint"
)

// logger is silent unless asked for; on a terminal it is coloured, elsewhere JSON lines. --verbose adds what only
// those who look for a fault want to know.
func (a *app) logger(on bool) *slog.Logger {
	level := slog.LevelInfo
	if a.verbose {
		level = slog.LevelDebug
	}
	switch {
	case !on && !a.verbose:
		return slog.New(slog.DiscardHandler)
	case terminal(a.stderr):
		return slog.New(librariesQuiet{tint.NewTextHandler(a.stderr, &tint.Options{
			Level: level, TimeFormat: "15:04:05", NoColor: os.Getenv("NO_COLOR") != "",
		})})
	default:
		return slog.New(librariesQuiet{slog.NewJSONHandler(a.stderr, &slog.HandlerOptions{Level: level})})
	}
}

// librariesQuiet drops what libp2p says below Info, which is hundreds of lines for each connection. Its records carry
// the attribute "logger"; ours do not.
type librariesQuiet struct{ slog.Handler }

func (h librariesQuiet) WithAttrs(attrs []slog.Attr) slog.Handler {
	inner := h.Handler.WithAttrs(attrs)
	if slices.ContainsFunc(attrs, func(a slog.Attr) bool { return a.Key == "logger" }) {
		return fromInfo{inner}
	}
	return librariesQuiet{inner}
}

func (h librariesQuiet) WithGroup(name string) slog.Handler {
	return librariesQuiet{h.Handler.WithGroup(name)}
}

type fromInfo struct{ slog.Handler }

func (h fromInfo) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelInfo && h.Handler.Enabled(ctx, l)
}

func (h fromInfo) WithAttrs(attrs []slog.Attr) slog.Handler {
	return fromInfo{h.Handler.WithAttrs(attrs)}
}
func (h fromInfo) WithGroup(name string) slog.Handler { return fromInfo{h.Handler.WithGroup(name)} }
