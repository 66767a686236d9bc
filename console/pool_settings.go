package console

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// setting is a setting of a pool: its names, and how forms and tables write it.
type setting struct {
	name   string // in the API and in forms
	column string // in the history
	Label  string
	Bounds string
	none   string // what no value means
	read   func(openapi.Pool) []string
	words  map[string]string // for values that are not words themselves
}

// poolSettings are the settings that have one value for the pool. Those by account model are apart.
var poolSettings = []setting{
	{name: "stock_threshold", column: "stock_threshold", Label: "Low stock threshold", Bounds: "0 to 1 000 000", none: "none",
		read: func(p openapi.Pool) []string { return optionalNumber(p.StockThreshold) }},
	{name: "renotify_seconds", column: "renotify_every", Label: "Reminders of an open alert", Bounds: "5 min to 30 days",
		read: func(p openapi.Pool) []string { return []string{period(p.RenotifySeconds)} }},
	{name: "wait_deadline_seconds", column: "wait_deadline", Label: "An order waits for an account", Bounds: "1 min to 365 days",
		none: "without limit", read: func(p openapi.Pool) []string {
			if p.WaitDeadlineSeconds == nil {
				return nil
			}
			return []string{period(*p.WaitDeadlineSeconds)}
		}},
	{name: "action_deadline_seconds", column: "action_deadline", Label: "An order waits for an answer", Bounds: "1 min to 365 days",
		read: func(p openapi.Pool) []string { return []string{period(p.ActionDeadlineSeconds)} }},
	{name: "on_failure", column: "on_failure", Label: "A clean account of a failed order", Bounds: "back to Ready or kept out",
		read:  func(p openapi.Pool) []string { return []string{p.OnFailure} },
		words: map[string]string{"return": "goes back to Ready", "park": "is kept out"}},
	{name: "report_kind", column: "report_kind", Label: "New cost report", Bounds: "one of the two kinds",
		read:  func(p openapi.Pool) []string { return []string{string(p.ReportKind)} },
		words: map[string]string{"export": "CUR 2.0 (Data Exports)", "cur": "legacy Cost and Usage Report"}},
	{name: "report_region", column: "report_region", Label: "Region of its bucket", Bounds: "an AWS region with S3",
		read: func(p openapi.Pool) []string { return []string{p.ReportRegion} }},
	{name: "report_prefix", column: "report_prefix", Label: "Prefix of its objects", Bounds: "1 to 200 characters",
		read: func(p openapi.Pool) []string { return []string{p.ReportPrefix} }},
	{name: "alternate_contact_types", column: "alternate_contact_types", Label: "Alternate contacts", Bounds: "one or more of the three",
		read: func(p openapi.Pool) []string { return p.AlternateContactTypes }},
	{name: "user_policy_arns", column: "user_policy_arns", Label: "Policies of the IAM user", Bounds: "at most 10",
		none: "IAMUserChangePassword only", read: func(p openapi.Pool) []string { return p.UserPolicyArns }},
	{name: "permissions_boundary_arn", column: "permissions_boundary_arn", Label: "Permissions boundary", Bounds: "an IAM policy",
		none: "none", read: func(p openapi.Pool) []string { return optionalText(p.PermissionsBoundaryARN) }},
	{name: "provide_root_user", column: "provide_root_user", Label: "Root-access instructions", Bounds: "given or not",
		read:  func(p openapi.Pool) []string { return []string{strconv.FormatBool(p.ProvideRootUser)} },
		words: map[string]string{"true": "in the result of ECAM orders", "false": "not given"}},
}

// Labels of the settings by account model, and what they are called in forms: the name, a dot and the model.
const (
	thresholdOf   = "model_thresholds."
	instructionOf = "instructions."
)

// labelOf names a setting in words, by its name in the API or in the history.
func labelOf(name string) string {
	for _, s := range poolSettings {
		if s.name == name || s.column == name {
			return s.Label
		}
	}
	if model, ok := strings.CutPrefix(name, thresholdOf); ok {
		return "Threshold of " + model
	}
	if model, ok := strings.CutPrefix(name, instructionOf); ok {
		return "Text for " + model
	}
	return map[string]string{"created": "Pool made", "model_thresholds": "Thresholds by model", "instructions": "Texts by model"}[name]
}

// settingValues returns the settings of a pool as a form has them.
func settingValues(pool openapi.Pool) url.Values {
	values := url.Values{}
	for _, s := range poolSettings {
		if texts := s.read(pool); s.name == "user_policy_arns" {
			values.Set(s.name, strings.Join(texts, "\n"))
		} else if len(texts) > 0 {
			values[s.name] = slices.Clone(texts)
		}
	}
	for _, of := range pool.ModelThresholds {
		values.Set(thresholdOf+string(of.Model), strconv.Itoa(of.Threshold))
	}
	for _, of := range pool.Instructions {
		values.Set(instructionOf+string(of.Model), of.Text)
	}
	return values
}

// inWords writes the value of a setting as a form has it.
func inWords(name string, texts []string) string {
	var shown []string
	at := slices.IndexFunc(poolSettings, func(s setting) bool { return s.name == name })
	for _, text := range texts {
		if at >= 0 && poolSettings[at].words[text] != "" {
			text = poolSettings[at].words[text]
		}
		if text != "" {
			shown = append(shown, text)
		}
	}
	switch {
	case len(shown) > 0:
		return strings.Join(shown, ", ")
	case at >= 0 && poolSettings[at].none != "":
		return poolSettings[at].none
	case strings.HasPrefix(name, instructionOf):
		return "the built-in text, if the customer owns the root user"
	}
	return "none"
}

// defaultPool is a pool with the settings that a new one has.
func defaultPool() openapi.Pool {
	config := provision.DefaultPool(provision.Pool{})
	s := config.Settings
	return openapi.Pool{
		AlternateContactTypes: s.AlternateContactTypes, ReportKind: s.ReportKind, ReportRegion: s.ReportRegion, ReportPrefix: s.ReportPrefix,
		UserPolicyArns: s.UserPolicyARNs, OnFailure: string(s.OnFailure), ProvideRootUser: s.ProvideRootUser,
		ActionDeadlineSeconds: int(s.ActionDeadline.Seconds()), RenotifySeconds: int(config.RenotifyEvery.Seconds()),
	}
}

// settingRow is a setting in a table.
type settingRow struct {
	Label, Value, Default, Bounds string
	Own                           bool // it is not the default
}

// settingRows are the settings of a pool with their defaults and bounds.
func settingRows(pool openapi.Pool) (rows []settingRow) {
	values, defaults := settingValues(pool), settingValues(defaultPool())
	for _, s := range poolSettings {
		rows = append(rows, settingRow{Label: s.Label, Value: inWords(s.name, values[s.name]), Default: inWords(s.name, defaults[s.name]),
			Bounds: s.Bounds, Own: !slices.Equal(values[s.name], defaults[s.name])})
	}
	for _, of := range pool.ModelThresholds {
		rows = append(rows, settingRow{Label: "Threshold of " + string(of.Model), Value: strconv.Itoa(of.Threshold), Default: "none",
			Bounds: "0 to 1 000 000", Own: true})
	}
	return rows
}

// units are the units in which a period may be written, the largest first.
var units = []struct {
	name    string
	seconds int
	also    []string
}{
	{"days", 86400, []string{"d", "day"}}, {"h", 3600, []string{"hour", "hours"}}, {"min", 60, []string{"m", "minute", "minutes"}},
	{"s", 1, []string{"second", "seconds", ""}},
}

// period writes a length of time in the largest unit that says it exactly.
func period(seconds int) string {
	for _, unit := range units {
		if seconds%unit.seconds == 0 {
			n := seconds / unit.seconds
			if n == 1 && unit.name == "days" {
				return "1 day"
			}
			return fmt.Sprintf("%d %s", n, unit.name)
		}
	}
	return ""
}

// parsePeriod reads a length of time, such as 14 days. A number alone means seconds.
func parsePeriod(text string) (seconds int, ok bool) {
	text = strings.ToLower(strings.TrimSpace(text))
	digits := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyz ")
	name := strings.TrimSpace(strings.TrimPrefix(text, digits))
	n, err := strconv.Atoi(digits)
	if err != nil || n < 0 || n > int((10*365*24*time.Hour).Seconds()) {
		return 0, false
	}
	for _, unit := range units {
		if name == unit.name || slices.Contains(unit.also, name) {
			return n * unit.seconds, true
		}
	}
	return 0, false
}

func optionalNumber(n *int) []string {
	if n == nil {
		return nil
	}
	return []string{strconv.Itoa(*n)}
}

func optionalText(text *string) []string {
	if text == nil {
		return nil
	}
	return []string{*text}
}
