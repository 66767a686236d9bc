package main

import (
	"bytes"
	"runtime/debug"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"
)

func TestTheVersionIsTheOneThatTheBuildRecorded(t *testing.T) {
	t.Parallel()
	revision := debug.BuildSetting{Key: "vcs.revision", Value: "4ca317d"}
	for want, info := range map[string]debug.BuildInfo{
		"v0.1.0":        {Main: debug.Module{Version: "v0.1.0"}, Settings: []debug.BuildSetting{revision}},
		"4ca317d":       {Main: debug.Module{Version: "(devel)"}, Settings: []debug.BuildSetting{revision}},
		"4ca317d+dirty": {Settings: []debug.BuildSetting{revision, {Key: "vcs.modified", Value: "true"}}},
		"unknown":       {},
	} {
		require.Equal(t, want, recordedVersion(&info))
	}
}

func TestTheVersionFlagPrintsTheVersion(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	exit := -1
	parser, err := newParser(kong.Vars{"version": "v0.1.0"}, kong.Writers(&out, &out), kong.Exit(func(code int) { exit = code }))
	require.NoError(t, err)
	_, _ = parser.Parse([]string{"--version"}) // Exit returns here, so parsing goes on and misses a command
	require.Equal(t, "v0.1.0\n", out.String())
	require.Zero(t, exit)
}
