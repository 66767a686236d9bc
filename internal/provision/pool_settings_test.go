package provision

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var models = []AccountModel{{ID: ModelSPAM}, {ID: ModelECAM, RootAccess: true}}

func TestPoolSettingsAreValidated(t *testing.T) {
	t.Parallel()
	minus, enough := -1, 5
	for name, c := range map[string]struct {
		change       func(*PoolConfig)
		field, words string
	}{
		"contact type": {func(c *PoolConfig) { c.Settings.AlternateContactTypes = []string{"LEGAL"} },
			"alternate_contact_types", "BILLING, OPERATIONS, SECURITY"},
		"contact type twice": {func(c *PoolConfig) { c.Settings.AlternateContactTypes = []string{"BILLING", "BILLING"} },
			"alternate_contact_types", "each once"},
		"no contact type": {func(c *PoolConfig) { c.Settings.AlternateContactTypes = nil }, "alternate_contact_types", "one or more"},
		"report kind": {func(c *PoolConfig) { c.Settings.ReportKind = "focus" },
			"report_kind", `"focus" is not a kind of report: use export`},
		"region": {func(c *PoolConfig) { c.Settings.ReportRegion = "Frankfurt" }, "report_region", "write it as eu-central-1"},
		"China": {func(c *PoolConfig) { c.Settings.ReportRegion = "cn-north-1" },
			"report_region", "partition that is not supported"},
		"unknown region": {func(c *PoolConfig) { c.Settings.ReportRegion = "eu-central-9" },
			"report_region", `S3 offers no buckets in the region "eu-central-9": use one of af-south-1`},
		"too new for legacy": {func(c *PoolConfig) {
			c.Settings.ReportKind, c.Settings.ReportRegion = LegacyCUR, "il-central-1"
		}, "report_region", "use report_kind export, or one of af-south-1"},
		"also too new": {func(c *PoolConfig) {
			c.Settings.ReportKind, c.Settings.ReportRegion = LegacyCUR, "ap-southeast-4"
		}, "report_region", "no legacy report"},
		"prefix":              {func(c *PoolConfig) { c.Settings.ReportPrefix = "/a" }, "report_prefix", "single slashes inside"},
		"prefix with a space": {func(c *PoolConfig) { c.Settings.ReportPrefix = "a b" }, "report_prefix", "single slashes inside"},
		"policy": {func(c *PoolConfig) { c.Settings.UserPolicyARNs = []string{"arn:aws:iam::aws:role/R"} },
			"user_policy_arns", "arn:aws:iam::<account id>:policy/<name>"},
		"policy of a short account id": {func(c *PoolConfig) { c.Settings.UserPolicyARNs = []string{"arn:aws:iam::123:policy/R"} },
			"user_policy_arns", "is not a policy"},
		"ten policies and the one for passwords": {func(c *PoolConfig) { c.Settings.UserPolicyARNs = policies(10) },
			"user_policy_arns", "11 policies: AWS attaches at most 10"},
		"boundary": {func(c *PoolConfig) { c.Settings.PermissionsBoundary = "Boundary" },
			"permissions_boundary_arn", "or leave it out"},
		"wait deadline": {func(c *PoolConfig) { c.Settings.WaitDeadline = time.Second },
			"wait_deadline_seconds", "1 is out of range: use 60"},
		"on failure": {func(c *PoolConfig) { c.Settings.OnFailure = "keep" }, "on_failure", "use return or park"},
		"action deadline": {func(c *PoolConfig) { c.Settings.ActionDeadline = 0 },
			"action_deadline_seconds", "use 60 (a minute) to 31536000"},
		"reminders": {func(c *PoolConfig) { c.RenotifyEvery = time.Minute },
			"renotify_seconds", "use 300 (5 minutes)"},
		"threshold": {func(c *PoolConfig) { c.StockThreshold = &minus }, "stock_threshold", "use 0 to 1000000"},
		"model's threshold": {func(c *PoolConfig) { c.ModelThresholds = map[Model]int{"SPAM": -1} },
			"model_thresholds.SPAM", "-1 is not a threshold"},
		"unknown model": {func(c *PoolConfig) { c.ModelThresholds = map[Model]int{"GCP": 1} },
			"model_thresholds", "use SPAM or ECAM"},
		"instructions of an unknown model": {func(c *PoolConfig) { c.Settings.Instructions = texts("GCP", "x") },
			"instructions", "use SPAM or ECAM"},
		"unknown placeholder": {func(c *PoolConfig) { c.Settings.Instructions = texts("ECAM", "Go to {account id}.") }, "instructions.ECAM",
			"unknown placeholder {account id}: the known placeholders are {account_id} {alias} {iam_user_name} " +
				"{sign_in_url} {sign_in_url_by_id} {root_email}"},
		"the provider's root address": {func(c *PoolConfig) { c.Settings.Instructions = texts("SPAM", "{root_email}") },
			"instructions.SPAM", "unknown placeholder {root_email}"},
		"empty instructions": {func(c *PoolConfig) { c.Settings.Instructions = texts("SPAM", " \n") },
			"instructions.SPAM", "white space"},
		"an escape sequence": {func(c *PoolConfig) { c.Settings.Instructions = texts("SPAM", "\x1b[2J") },
			"instructions.SPAM", "a control character, U+001B"},
		"marketplace": {func(c *PoolConfig) { c.Marketplace = "No" }, "marketplace", "lower-case letters"},
		"environment": {func(c *PoolConfig) { c.Environment = "dev" }, "environment", "use production or test"},
	} {
		config := DefaultPool(Pool{Provider: "acme", Marketplace: "store", Environment: Test})
		require.Empty(t, config.Validate(models), "the default")
		c.change(&config)
		wrong := config.Validate(models)
		require.Len(t, wrong, 1, name)
		require.Equal(t, c.field, wrong[0].Field, name)
		require.Contains(t, wrong[0].Message, c.words, name)
	}
	good := DefaultPool(Pool{Provider: "acme", Marketplace: "store", Environment: Test})
	good.Settings.UserPolicyARNs = append(policies(9), "arn:aws:iam::aws:policy/IAMUserChangePassword")
	good.Settings.ReportRegion, good.Settings.ReportPrefix = "il-central-1", "usage/qm"
	good.Settings.Instructions = texts("ECAM", "Account {account_id}:\n\t{root_email} { } is text? {alias}")
	good.StockThreshold = &enough
	require.Len(t, good.Validate(models), 1, "braces around anything but a known placeholder are an error")
	good.Settings.Instructions = texts("ECAM", "Account {account_id}:\n\t{root_email}, {alias}")
	require.Empty(t, good.Validate(models))
}

func policies(count int) (arns []string) {
	for i := range count {
		arns = append(arns, "arn:aws:iam::aws:policy/P"+strings.Repeat("x", i))
	}
	return arns
}

func texts(model Model, text string) map[Model]string {
	return map[Model]string{model: text}
}

// Settings in the histories of running orders decode as they were written, and empty new fields are omitted.
func TestPoolSettingsOfOldHistoriesKeepTheirMeaning(t *testing.T) {
	t.Parallel()
	const old = `{"alternate_contact_types":["BILLING"],"report_kind":"cur","report_region":"us-east-1","report_prefix":"cur",
		"user_policy_arns":[],"on_failure":"park","wait_deadline":0,"action_deadline":60000000000,"provide_root_user":true}`
	var settings PoolSettings
	require.NoError(t, json.Unmarshal([]byte(old), &settings))
	require.True(t, settings.ProvideRootUser)
	again, err := json.Marshal(settings)
	require.NoError(t, err)
	require.JSONEq(t, old, string(again))
}
