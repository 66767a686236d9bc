package provision

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// AccountModel is a row of account_models.
type AccountModel struct {
	ID         Model `db:"id"`
	RootAccess bool  `db:"root_access"` // the customer owns the root user
}

// PoolConfig is a pool as its provider sees and sets it.
type PoolConfig struct {
	Pool
	Version         int64 // counts the changes: its ETag
	CreatedAt       time.Time
	Settings        PoolSettings
	StockThreshold  *int          // low when so many accounts of any model are Ready, or fewer; nil: none
	ModelThresholds map[Model]int // the same by model
	RenotifyEvery   time.Duration // an open alert that nobody acknowledged is told of again so often
	SuspendedAt     *time.Time    // since when its verification makes nothing Invalid
	// ClaimsSuspendedAt is since when orders get no account of it, because several could not be entered; nil: they do.
	ClaimsSuspendedAt      *time.Time
	ClaimsSuspendedBecause string
}

// DefaultPool is a pool whose settings nobody has set.
func DefaultPool(pool Pool) PoolConfig {
	return PoolConfig{
		Pool: pool,
		Settings: PoolSettings{
			AlternateContactTypes: []string{"BILLING", "OPERATIONS", "SECURITY"},
			ReportKind:            DataExport,
			ReportRegion:          "us-east-1",
			ReportPrefix:          "cur",
			UserPolicyARNs:        []string{"arn:aws:iam::aws:policy/ReadOnlyAccess", changePasswordPolicy},
			ActionDeadline:        14 * 24 * time.Hour,
		},
		RenotifyEvery: 24 * time.Hour,
	}
}

// PoolHistoryEntry is one row of a pool's audit.
type PoolHistoryEntry struct {
	Seq   int64     `db:"seq"`
	At    time.Time `db:"at"`
	Actor string    `db:"actor"`
	What  string    `db:"what"`      // the setting; created: the pool was created
	Old   []byte    `db:"old_value"` // JSON; nil: none
	New   []byte    `db:"new_value"`
}

// ProtectedAccount is an AWS account that nothing is ever done in: a payer, or the provider's own.
type ProtectedAccount struct {
	AccountID string    `db:"account_id"`
	Note      string    `db:"note"`
	CreatedAt time.Time `db:"created_at"`
	CreatedBy string    `db:"created_by"`
}

// ProtectedMessage says why an account is not taken into a pool.
func ProtectedMessage(accountID string) string {
	return "account " + accountID + " is protected: a payer or one of the provider's own never enters a pool"
}

// InvalidError says which fields of something are refused, every one of them.
type InvalidError struct{ Fields []FieldError }

// Error names every wrong field.
func (e *InvalidError) Error() string {
	lines := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		lines[i] = f.Field + ": " + f.Message
	}
	return strings.Join(lines, "\n")
}

// legacyReportRegions are those that AWS delivers legacy reports to, in the partition aws.
// Source: Cost and Usage Report API Reference, ReportDefinition, S3Region.
var legacyReportRegions = []string{
	"af-south-1", "ap-east-1", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-south-2", "ap-southeast-1", "ap-southeast-2",
	"ap-southeast-3", "ca-central-1", "eu-central-1", "eu-central-2", "eu-north-1", "eu-south-1", "eu-south-2", "eu-west-1", "eu-west-2", "eu-west-3",
	"me-central-1", "me-south-1", "sa-east-1", "us-east-1", "us-east-2", "us-west-1", "us-west-2",
}

// LegacyReportRegions lists the regions that a legacy report can be delivered to.
func LegacyReportRegions() []string { return slices.Clone(legacyReportRegions) }

const (
	changePasswordPolicy = "arn:aws:iam::aws:policy/IAMUserChangePassword"
	maxUserPolicies      = 10 // IAM quota "managed policies attached to an IAM user"
	maxInstructions      = 8000
	maxThreshold         = 1_000_000

	shortestDeadline = time.Minute
	longestDeadline  = 365 * 24 * time.Hour
	shortestRenotify = 5 * time.Minute
	longestRenotify  = 30 * 24 * time.Hour
)

var (
	contactTypes         = []string{"BILLING", "OPERATIONS", "SECURITY"}
	regionPattern        = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[0-9]$`)
	otherPartition       = regexp.MustCompile(`^(cn|us-gov|us-iso[a-z]?|eu-isoe|eusc)-`)
	reportPrefixPattern  = regexp.MustCompile(`^[0-9A-Za-z!_.*'()-]+(/[0-9A-Za-z!_.*'()-]+)*$`)
	policyPattern        = regexp.MustCompile(`^arn:aws:iam::(aws|[0-9]{12}):policy/[\w+=,.@/-]{1,512}$`)
	placeholderPattern   = regexp.MustCompile(`\{[^{}\n]*\}`)
	instructionsControls = regexp.MustCompile(`[\x00-\x08\x0b-\x1f\x7f]`) // tabs and line breaks may stand there
)

// The settings that there are by account model. The value of one model is named <setting>.<model>.
const (
	InstructionsField = "instructions"
	ThresholdsField   = "model_thresholds"
)

// Validate checks the settings of a pool against the account models that there are, and reports every wrong one. Fields are
// named as the API names them.
func (c PoolConfig) Validate(models []AccountModel) []FieldError {
	var v fieldErrors
	v.check("marketplace", slugPattern.MatchString(c.Marketplace) && len(c.Marketplace) <= 40,
		"%q is not a marketplace id: use lower-case letters, digits and single hyphens, at most 40", c.Marketplace)
	v.check("environment", c.Environment == Production || c.Environment == Test,
		"%q is not an environment: use production or test", c.Environment)
	v.settings(c.Settings)
	v.instructions(c.Settings.Instructions, models)
	v.thresholds(c, models)
	v.check("renotify_seconds", between(c.RenotifyEvery, shortestRenotify, longestRenotify),
		"%d is not offered: use %d (5 minutes) to %d (30 days)", seconds(c.RenotifyEvery), seconds(shortestRenotify), seconds(longestRenotify))
	return v
}

func (v *fieldErrors) settings(s PoolSettings) {
	v.check("alternate_contact_types", len(s.AlternateContactTypes) > 0 && allOf(s.AlternateContactTypes, contactTypes) && distinct(s.AlternateContactTypes),
		"use one or more of %s, each once", strings.Join(contactTypes, ", "))
	v.check("report_kind", s.ReportKind == DataExport || s.ReportKind == LegacyCUR,
		"%q is not a kind of report: use export (CUR 2.0, Data Exports) or cur (legacy)", s.ReportKind)
	switch {
	case !regionPattern.MatchString(s.ReportRegion):
		v.add("report_region", "%q is not an AWS region: write it as eu-central-1", s.ReportRegion)
	case otherPartition.MatchString(s.ReportRegion):
		v.add("report_region", "%q is in a partition that is not supported: use a region of the partition %q", s.ReportRegion, supportedPartition)
	case !slices.Contains(bucketRegions, s.ReportRegion):
		v.add("report_region", "%q is not a region in which S3 makes buckets: use one of %s", s.ReportRegion, strings.Join(bucketRegions, ", "))
	case s.ReportKind == LegacyCUR && !slices.Contains(legacyReportRegions, s.ReportRegion):
		v.add("report_region", "AWS delivers no legacy report to %q: use report_kind export, or one of %s", s.ReportRegion, strings.Join(legacyReportRegions, ", "))
	}
	v.check("report_prefix", len(s.ReportPrefix) <= 200 && reportPrefixPattern.MatchString(s.ReportPrefix),
		"%q is not a prefix: use 1 to 200 characters of 0-9 A-Z a-z ! - _ . * ' ( ), and single slashes inside", s.ReportPrefix)
	v.policies(s.UserPolicyARNs)
	v.check("permissions_boundary_arn", s.PermissionsBoundary == "" || policyPattern.MatchString(s.PermissionsBoundary),
		"%q is not a policy: write it as arn:aws:iam::aws:policy/<name> or arn:aws:iam::<account id>:policy/<name>, or leave it out for none", s.PermissionsBoundary)
	if allows, known := BoundaryAllowsFirstSignIn(s.PermissionsBoundary); known && !allows {
		v.add("permissions_boundary_arn", "%q does not allow iam:ChangePassword and iam:GetAccountPasswordPolicy: with it as boundary a customer cannot change the first password and so cannot sign in; "+
			"use a policy that allows both, such as one of your own, or leave it out for none", s.PermissionsBoundary)
	}
	v.check("wait_deadline_seconds", s.WaitDeadline == 0 || between(s.WaitDeadline, shortestDeadline, longestDeadline),
		"%d is not offered: use %d (a minute) to %d (a year), or none to let orders wait for ever", seconds(s.WaitDeadline), seconds(shortestDeadline), seconds(longestDeadline))
	v.check("action_deadline_seconds", between(s.ActionDeadline, shortestDeadline, longestDeadline),
		"%d is not offered: use %d (a minute) to %d (a year)", seconds(s.ActionDeadline), seconds(shortestDeadline), seconds(longestDeadline))
}

func (v *fieldErrors) policies(arns []string) {
	all := slices.Clone(arns)
	if !slices.Contains(all, changePasswordPolicy) {
		all = append(all, changePasswordPolicy)
	}
	v.check("user_policy_arns", len(all) <= maxUserPolicies,
		"%d policies: AWS attaches at most %d to a user, IAMUserChangePassword among them, which is always attached", len(all), maxUserPolicies)
	v.check("user_policy_arns", distinct(arns), "a policy stands there twice: name each once")
	for _, arn := range arns {
		v.check("user_policy_arns", policyPattern.MatchString(arn),
			"%q is not a policy: write it as arn:aws:iam::aws:policy/<name> or arn:aws:iam::<account id>:policy/<name>", arn)
	}
}

func (v *fieldErrors) instructions(texts map[Model]string, models []AccountModel) {
	for _, model := range slices.Sorted(maps.Keys(texts)) {
		field, text := InstructionsField+"."+string(model), texts[model]
		known := modelOf(model, models)
		if known == nil {
			v.add(InstructionsField, "%s", noSuchModel(model, models))
			continue
		}
		length := utf8.RuneCountInString(text)
		v.check(field, strings.TrimSpace(text) != "" && length <= maxInstructions && utf8.ValidString(text) && !instructionsControls.MatchString(text),
			"needs 1 to %d characters, not only spaces, and no control characters but tabs and line breaks; it has %d", maxInstructions, length)
		allowed := placeholderNames(*known)
		for _, placeholder := range placeholderPattern.FindAllString(text, -1) {
			v.check(field, slices.Contains(allowed, placeholder), "unknown placeholder %s: the known ones are %s", placeholder, strings.Join(allowed, " "))
		}
	}
}

func (v *fieldErrors) thresholds(c PoolConfig, models []AccountModel) {
	const rule = "%d is not a threshold: use 0 to %d, or none"
	if t := c.StockThreshold; t != nil {
		v.check("stock_threshold", *t >= 0 && *t <= maxThreshold, rule, *t, maxThreshold)
	}
	for _, model := range slices.Sorted(maps.Keys(c.ModelThresholds)) {
		t := c.ModelThresholds[model]
		if modelOf(model, models) == nil {
			v.add(ThresholdsField, "%s", noSuchModel(model, models))
			continue
		}
		v.check(ThresholdsField+"."+string(model), t >= 0 && t <= maxThreshold, rule, t, maxThreshold)
	}
}

func modelOf(id Model, models []AccountModel) *AccountModel {
	if i := slices.IndexFunc(models, func(m AccountModel) bool { return m.ID == id }); i >= 0 {
		return &models[i]
	}
	return nil
}

func noSuchModel(id Model, models []AccountModel) string {
	names := make([]string, len(models))
	for i, m := range models {
		names[i] = string(m.ID)
	}
	return fmt.Sprintf("%q is not an account model: use %s", id, strings.Join(names, " or "))
}

func allOf[T comparable](some, all []T) bool {
	return !slices.ContainsFunc(some, func(one T) bool { return !slices.Contains(all, one) })
}

func distinct(some []string) bool {
	seen := map[string]bool{}
	for _, one := range some {
		if seen[one] {
			return false
		}
		seen[one] = true
	}
	return true
}

func between(d, least, most time.Duration) bool { return d >= least && d <= most }

func seconds(d time.Duration) int64 { return int64(d / time.Second) }
