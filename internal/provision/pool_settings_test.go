package provision

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var models = []AccountModel{{ID: ModelSPAM}, {ID: ModelECAM, RootAccess: true}}

func TestEverySettingOfAPoolHasItsRule(t *testing.T) {
	t.Parallel()
	minus, enough := -1, 5
	for name, c := range map[string]struct {
		change       func(*PoolConfig)
		field, words string
	}{
		"contact type":               {func(c *PoolConfig) { c.Settings.AlternateContactTypes = []string{"LEGAL"} }, "alternate_contact_types", "BILLING, OPERATIONS, SECURITY"},
		"contact type twice":         {func(c *PoolConfig) { c.Settings.AlternateContactTypes = []string{"BILLING", "BILLING"} }, "alternate_contact_types", "each once"},
		"no contact type":            {func(c *PoolConfig) { c.Settings.AlternateContactTypes = nil }, "alternate_contact_types", "one or more"},
		"report kind":                {func(c *PoolConfig) { c.Settings.ReportKind = "focus" }, "report_kind", `"focus" is not a kind of report: use export`},
		"region":                     {func(c *PoolConfig) { c.Settings.ReportRegion = "Frankfurt" }, "report_region", "write it as eu-central-1"},
		"China":                      {func(c *PoolConfig) { c.Settings.ReportRegion = "cn-north-1" }, "report_region", "partition that is not supported"},
		"a region that is not there": {func(c *PoolConfig) { c.Settings.ReportRegion = "eu-central-9" }, "report_region", `"eu-central-9" is not a region in which S3 makes buckets: use one of af-south-1`},
		"too new for legacy": {func(c *PoolConfig) {
			c.Settings.ReportKind, c.Settings.ReportRegion = LegacyCUR, "il-central-1"
		}, "report_region", "use report_kind export, or one of af-south-1"},
		"also too new": {func(c *PoolConfig) {
			c.Settings.ReportKind, c.Settings.ReportRegion = LegacyCUR, "ap-southeast-4"
		}, "report_region", "no legacy report"},
		"prefix":                                 {func(c *PoolConfig) { c.Settings.ReportPrefix = "/a" }, "report_prefix", "single slashes inside"},
		"prefix with a space":                    {func(c *PoolConfig) { c.Settings.ReportPrefix = "a b" }, "report_prefix", "single slashes inside"},
		"policy":                                 {func(c *PoolConfig) { c.Settings.UserPolicyARNs = []string{"arn:aws:iam::aws:role/R"} }, "user_policy_arns", "arn:aws:iam::<account id>:policy/<name>"},
		"policy of a short account":              {func(c *PoolConfig) { c.Settings.UserPolicyARNs = []string{"arn:aws:iam::123:policy/R"} }, "user_policy_arns", "is not a policy"},
		"ten policies and the one for passwords": {func(c *PoolConfig) { c.Settings.UserPolicyARNs = policies(10) }, "user_policy_arns", "11 policies: AWS attaches at most 10"},
		"boundary":                               {func(c *PoolConfig) { c.Settings.PermissionsBoundary = "Boundary" }, "permissions_boundary_arn", "or leave it out for none"},
		"wait deadline":                          {func(c *PoolConfig) { c.Settings.WaitDeadline = time.Second }, "wait_deadline_seconds", "1 is not offered: use 60"},
		"action deadline":                        {func(c *PoolConfig) { c.Settings.ActionDeadline = 0 }, "action_deadline_seconds", "use 60 (a minute) to 31536000"},
		"reminders":                              {func(c *PoolConfig) { c.RenotifyEvery = time.Minute }, "renotify_seconds", "use 300 (5 minutes)"},
		"threshold":                              {func(c *PoolConfig) { c.StockThreshold = &minus }, "stock_threshold", "use 0 to 1000000"},
		"model's threshold":                      {func(c *PoolConfig) { c.ModelThresholds = map[Model]int{"SPAM": -1} }, "model_thresholds.SPAM", "-1 is not a threshold"},
		"unknown model":                          {func(c *PoolConfig) { c.ModelThresholds = map[Model]int{"GCP": 1} }, "model_thresholds", "use SPAM or ECAM"},
		"instructions of an unknown model":       {func(c *PoolConfig) { c.Settings.Instructions = texts("GCP", "x") }, "instructions", "use SPAM or ECAM"},
		"unknown placeholder": {func(c *PoolConfig) { c.Settings.Instructions = texts("ECAM", "Go to {account id}.") }, "instructions.ECAM",
			"unknown placeholder {account id}: the known ones are {account_id} {alias} {iam_user_name} {sign_in_url} {sign_in_url_by_id} {root_email}"},
		"the provider's root address": {func(c *PoolConfig) { c.Settings.Instructions = texts("SPAM", "{root_email}") }, "instructions.SPAM", "unknown placeholder {root_email}"},
		"empty instructions":          {func(c *PoolConfig) { c.Settings.Instructions = texts("SPAM", " \n") }, "instructions.SPAM", "not only spaces"},
		"an escape sequence":          {func(c *PoolConfig) { c.Settings.Instructions = texts("SPAM", "\x1b[2J") }, "instructions.SPAM", "no control characters"},
		"marketplace":                 {func(c *PoolConfig) { c.Marketplace = "No" }, "marketplace", "lower-case letters"},
		"environment":                 {func(c *PoolConfig) { c.Environment = "dev" }, "environment", "use production or test"},
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
	require.Len(t, good.Validate(models), 1, "braces with something else between them are a mistake")
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

func TestInstructionsAreTheCustomersAndNotTheProviders(t *testing.T) {
	t.Parallel()
	account := Account{ID: "111122223333", Model: ModelECAM, RootAccess: true, RootEmail: "root@acme.test"}
	got := Result{AccountAlias: "berg", IAMUserName: "anna"}
	require.Contains(t, PoolSettings{}.Instruct(account, got).RootInstructions, "enter root@acme.test", "the built-in text")
	old := PoolSettings{RootInstructions: "Ask {root_email}."}
	require.Equal(t, "Ask root@acme.test.", old.Instruct(account, got).RootInstructions, "of an order that runs since before there were texts by model")
	ours := PoolSettings{Instructions: texts("ECAM", "{alias}/{account_id}/{iam_user_name}")}
	require.Equal(t, "berg/111122223333/anna", ours.Instruct(account, got).RootInstructions)
	ours.WithoutRootAccess = true
	require.Equal(t, got, ours.Instruct(account, got))

	account.Model, account.RootAccess = ModelSPAM, false
	require.Equal(t, got, PoolSettings{}.Instruct(account, got))
	ours.Instructions = texts("SPAM", "Sign in as {iam_user_name}. {root_email}")
	with := ours.Instruct(account, got)
	require.Empty(t, with.RootInstructions)
	require.Equal(t, "Sign in as anna. ", with.Instructions, "the provider's address stays out, whatever the text says")
}

// What stands in the histories of running orders must be read as it was written, and an empty new field must not be there.
func TestSettingsInOldHistoriesMeanWhatTheyMeant(t *testing.T) {
	t.Parallel()
	const old = `{"alternate_contact_types":["BILLING"],"report_kind":"cur","report_region":"us-east-1","report_prefix":"cur","user_policy_arns":[],"park":true,"wait_deadline":0,"action_deadline":60000000000}`
	var settings PoolSettings
	require.NoError(t, json.Unmarshal([]byte(old), &settings))
	require.False(t, settings.WithoutRootAccess)
	again, err := json.Marshal(settings)
	require.NoError(t, err)
	require.JSONEq(t, old, string(again))
}

func TestABoundaryThatLocksTheCustomerOutIsRefused(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"PowerUserAccess", "ReadOnlyAccess", "SecurityAudit", "job-function/ViewOnlyAccess", "job-function/Billing"} {
		c := DefaultPool(Pool{Provider: "acme", Marketplace: "store", Environment: Test})
		c.Settings.PermissionsBoundary = "arn:aws:iam::aws:policy/" + name
		wrong := c.Validate(models)
		require.Len(t, wrong, 1, name)
		require.Equal(t, "permissions_boundary_arn", wrong[0].Field)
		require.Contains(t, wrong[0].Message, `policy/`+name+`" does not allow iam:ChangePassword and iam:GetAccountPasswordPolicy`)
		require.Contains(t, wrong[0].Message, "leave it out for none")
	}
	for boundary, warned := range map[string]bool{
		"": false, "arn:aws:iam::aws:policy/AdministratorAccess": false,
		"arn:aws:iam::111122223333:policy/PowerUserAccess": true, // the customer's own, of the same name
		"arn:aws:iam::aws:policy/SomethingNew":             true,
	} {
		c := DefaultPool(Pool{Provider: "acme", Marketplace: "store", Environment: Test})
		c.Settings.PermissionsBoundary = boundary
		require.Empty(t, c.Validate(models), boundary)
		if !warned {
			require.Empty(t, c.Warnings(), boundary)
			continue
		}
		require.Len(t, c.Warnings(), 1, boundary)
		require.Contains(t, c.Warnings()[0], "permissions_boundary_arn: "+boundary+" must allow iam:ChangePassword and iam:GetAccountPasswordPolicy")
	}
}
