// Package mlog stands in for the logging module of the same name, which is not published on every
// module proxy. It has the part of its interface that the azure-workload-identity webhook calls, over
// the standard library's structured logger: JSON lines on standard error.
package mlog

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/go-logr/logr"
)

// LogLevel names a verbosity; the empty string is the default and shows warnings and errors.
type LogLevel string

// The levels in order of increasing verbosity.
const (
	LevelWarning LogLevel = ""
	LevelInfo    LogLevel = "info"
	LevelDebug   LogLevel = "debug"
	LevelTrace   LogLevel = "trace"
	LevelAll     LogLevel = "all"
)

// LogFormat names an output format; every format is written as JSON here.
type LogFormat string

// The formats that callers name.
const (
	FormatJSON LogFormat = "json"
	FormatCLI  LogFormat = "cli"
)

// LogSpec is what a program asks for at its start.
type LogSpec struct {
	Level  LogLevel  `json:"level,omitempty"`
	Format LogFormat `json:"format,omitempty"`
}

// Logger writes structured lines under a name and with fixed values.
type Logger interface {
	Error(msg string, err error, keysAndValues ...any)
	Warning(msg string, keysAndValues ...any)
	WarningErr(msg string, err error, keysAndValues ...any)
	Info(msg string, keysAndValues ...any)
	InfoErr(msg string, err error, keysAndValues ...any)
	Debug(msg string, keysAndValues ...any)
	DebugErr(msg string, err error, keysAndValues ...any)
	Trace(msg string, keysAndValues ...any)
	TraceErr(msg string, err error, keysAndValues ...any)
	All(msg string, keysAndValues ...any)
	Always(msg string, keysAndValues ...any)
	WithValues(keysAndValues ...any) Logger
	WithName(name string) Logger
}

const (
	slogTrace = slog.LevelDebug - 4
	slogAll   = slog.LevelDebug - 8
)

var (
	threshold = new(slog.LevelVar)
	handler   = slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: threshold})
	root      = logger{slog.New(handler)}
)

func init() {
	threshold.Set(slog.LevelWarn)
}

var slogLevels = map[LogLevel]slog.Level{
	LevelWarning: slog.LevelWarn,
	LevelInfo:    slog.LevelInfo,
	LevelDebug:   slog.LevelDebug,
	LevelTrace:   slogTrace,
	LevelAll:     slogAll,
}

// Setup prepares logging and returns the function that flushes it; there is nothing to flush.
func Setup() func() { return func() {} }

// ValidateAndSetLogLevelAndFormatGlobally sets the level for every logger, or refuses an unknown one.
func ValidateAndSetLogLevelAndFormatGlobally(_ context.Context, spec LogSpec) error {
	level, known := slogLevels[spec.Level]
	if !known {
		return fmt.Errorf("invalid log level %q, valid choices are the empty string, info, debug, trace and all", spec.Level)
	}
	threshold.Set(level)
	return nil
}

// Enabled reports whether lines of this level are written.
func Enabled(level LogLevel) bool { return slogLevels[level] >= threshold.Level() }

// New returns the root logger.
func New() Logger { return root }

// Logr returns the same output as a logr.Logger.
func Logr() logr.Logger { return logr.FromSlogHandler(handler) }

// Fatal writes the error and ends the process with code 1.
func Fatal(err error, keysAndValues ...any) {
	root.Error("fatal error", err, keysAndValues...)
	os.Exit(1)
}

// Error writes through the root logger.
func Error(msg string, err error, keysAndValues ...any) { root.Error(msg, err, keysAndValues...) }

// Warning writes through the root logger.
func Warning(msg string, keysAndValues ...any) { root.Warning(msg, keysAndValues...) }

// Info writes through the root logger.
func Info(msg string, keysAndValues ...any) { root.Info(msg, keysAndValues...) }

// Debug writes through the root logger.
func Debug(msg string, keysAndValues ...any) { root.Debug(msg, keysAndValues...) }

// WithName returns the root logger under a name.
func WithName(name string) Logger { return root.WithName(name) }

// WithValues returns the root logger with fixed values.
func WithValues(keysAndValues ...any) Logger { return root.WithValues(keysAndValues...) }

type logger struct{ inner *slog.Logger }

func (l logger) write(level slog.Level, msg string, err error, keysAndValues []any) {
	if err != nil {
		keysAndValues = append([]any{"error", err.Error()}, keysAndValues...)
	}
	l.inner.Log(context.Background(), level, msg, keysAndValues...)
}

func (l logger) Error(msg string, err error, kv ...any)      { l.write(slog.LevelError, msg, err, kv) }
func (l logger) Warning(msg string, kv ...any)               { l.write(slog.LevelWarn, msg, nil, kv) }
func (l logger) WarningErr(msg string, err error, kv ...any) { l.write(slog.LevelWarn, msg, err, kv) }
func (l logger) Info(msg string, kv ...any)                  { l.write(slog.LevelInfo, msg, nil, kv) }
func (l logger) InfoErr(msg string, err error, kv ...any)    { l.write(slog.LevelInfo, msg, err, kv) }
func (l logger) Debug(msg string, kv ...any)                 { l.write(slog.LevelDebug, msg, nil, kv) }
func (l logger) DebugErr(msg string, err error, kv ...any)   { l.write(slog.LevelDebug, msg, err, kv) }
func (l logger) Trace(msg string, kv ...any)                 { l.write(slogTrace, msg, nil, kv) }
func (l logger) TraceErr(msg string, err error, kv ...any)   { l.write(slogTrace, msg, err, kv) }
func (l logger) All(msg string, kv ...any)                   { l.write(slogAll, msg, nil, kv) }
func (l logger) Always(msg string, kv ...any)                { l.write(slog.LevelError, msg, nil, kv) }
func (l logger) WithValues(kv ...any) Logger                 { return logger{l.inner.With(kv...)} }
func (l logger) WithName(name string) Logger                 { return logger{l.inner.With("logger", name)} }
