package main

import (
	"bytes"
	"os"
	"regexp"
	"runtime/debug"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"
)

func TestTheVersionIsTheNewestReleaseOfTheChangelog(t *testing.T) {
	t.Parallel()
	changelog, err := os.ReadFile("../../CHANGELOG.md")
	require.NoError(t, err)
	newest := regexp.MustCompile(`(?m)^## \[?([0-9]+\.[0-9]+\.[0-9]+)\]?`).FindSubmatch(changelog)
	require.NotNil(t, newest, "CHANGELOG.md has no heading of a release, such as ## 0.1.0")
	require.Equal(t, version, string(newest[1]))
}

func TestTheCommitIsTheOneThatTheBuildRecorded(t *testing.T) {
	t.Parallel()
	revision := debug.BuildSetting{Key: "vcs.revision", Value: "4ca317d0aa11bb22cc33"}
	for want, settings := range map[string][]debug.BuildSetting{
		"4ca317d0aa11":       {revision, {Key: "vcs.modified", Value: "false"}},
		"4ca317d0aa11+dirty": {revision, {Key: "vcs.modified", Value: "true"}},
		"":                   nil,
	} {
		require.Equal(t, want, recordedCommit(&debug.BuildInfo{Settings: settings}))
	}
}

func TestTheVersionFlagPrintsTheVersion(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	exit := -1
	parser, err := newParser(kong.Vars{"version": programVersion()}, kong.Writers(&out, &out), kong.Exit(func(code int) { exit = code }))
	require.NoError(t, err)
	_, _ = parser.Parse([]string{"--version"}) // Exit returns here, so parsing goes on and misses a command
	require.Regexp(t, `^`+regexp.QuoteMeta(version)+`( \([0-9a-f+dirty]+\))?\n$`, out.String())
	require.Zero(t, exit)
}
