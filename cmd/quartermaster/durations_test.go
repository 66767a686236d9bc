package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDurationsCountDaysAndWeeks(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"365d": 365 * 24 * time.Hour, "2w": 14 * 24 * time.Hour, "1d12h": 36 * time.Hour, "1.5d": 36 * time.Hour, "90m": 90 * time.Minute,
		"0": 0, "-1h": -time.Hour, "-2d": -48 * time.Hour, "1w1d1h1m1s": 193*time.Hour + time.Minute + time.Second,
	} {
		got, err := parseDuration(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "365", "1y", "d", "1 d", "1dd", "99999999w"} {
		_, err := parseDuration(text)
		require.ErrorContains(t, err, "write it as 30s, 15m, 12h, 7d, 2w", text)
	}
}

func TestMomentsAreTimesDaysOrHowLongAgo(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"2026-11-01T12:00:00+02:00": time.Date(2026, 11, 1, 10, 0, 0, 0, time.UTC),
		"2026-11-01":                time.Date(2026, 11, 1, 0, 0, 0, 0, time.Local),
		"2d":                        now.Add(-48 * time.Hour),
		"90m":                       now.Add(-90 * time.Minute),
	} {
		got, err := parseMoment(text, now)
		require.NoError(t, err, text)
		require.True(t, want.Equal(got), "%s: %s", text, got)
	}
	for _, text := range []string{"yesterday", "-2d", "2026-13-01", "1700000000"} {
		_, err := parseMoment(text, now)
		require.ErrorContains(t, err, "is not a time: write it as", text)
	}
}
