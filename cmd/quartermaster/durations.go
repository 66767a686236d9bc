package main

import (
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"time"

	"github.com/alecthomas/kong"
)

var (
	durationType = reflect.TypeFor[time.Duration]()
	momentType   = reflect.TypeFor[time.Time]()

	daysAndWeeks = regexp.MustCompile(`[0-9]+(\.[0-9]+)?[dw]`)
)

// parseDuration parses a duration of Go, such as 1h30m, that may also count days (d) and weeks (w).
func parseDuration(text string) (time.Duration, error) {
	inHours := daysAndWeeks.ReplaceAllStringFunc(text, func(part string) string {
		hours := 24.0
		if part[len(part)-1] == 'w' {
			hours *= 7
		}
		count, _ := strconv.ParseFloat(part[:len(part)-1], 64) // the expression matches numbers only
		return strconv.FormatFloat(count*hours, 'f', -1, 64) + "h"
	})
	d, err := time.ParseDuration(inHours)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration: write it as 30s, 15m, 12h, 7d, 2w, or a sum such as 1d12h", text)
	}
	return d, nil
}

// durationMapper reads every option that is a duration.
func durationMapper() kong.MapperFunc {
	return func(ctx *kong.DecodeContext, target reflect.Value) error {
		var text string
		if err := ctx.Scan.PopValueInto("duration", &text); err != nil {
			return err
		}
		d, err := parseDuration(text)
		target.SetInt(int64(d))
		return err
	}
}

// momentMapper reads every option that is a time: a time, a day, or how long ago.
func momentMapper() kong.MapperFunc {
	return func(ctx *kong.DecodeContext, target reflect.Value) error {
		var text string
		if err := ctx.Scan.PopValueInto("time", &text); err != nil {
			return err
		}
		moment, err := parseMoment(text, time.Now())
		target.Set(reflect.ValueOf(moment))
		return err
	}
}

func parseMoment(text string, now time.Time) (time.Time, error) {
	if moment, err := time.Parse(time.RFC3339, text); err == nil {
		return moment, nil
	}
	if day, err := time.ParseInLocation(time.DateOnly, text, time.Local); err == nil {
		return day, nil
	}
	if ago, err := parseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	return time.Time{}, fmt.Errorf("%q is not a time: write it as 2026-11-22T10:00:00Z, as the day 2026-11-22, "+
		"or as how long ago, such as 90m or 7d", text)
}
