package provision

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// PoolSettings says how the accounts of one pool are provisioned. The histories of running orders contain it: a new field is
// omitted when it is empty, and empty means what Quartermaster did before the field existed.
type PoolSettings struct {
	AlternateContactTypes []string      `json:"alternate_contact_types"` // BILLING, OPERATIONS, SECURITY
	ReportKind            ReportKind    `json:"report_kind"`
	ReportRegion          string        `json:"report_region"`
	ReportPrefix          string        `json:"report_prefix"`
	UserPolicyARNs        []string      `json:"user_policy_arns"`
	PermissionsBoundary   string        `json:"permissions_boundary_arn,omitempty"`
	OnFailure             OnFailure     `json:"on_failure"`      // what happens to the account of an order that failed
	WaitDeadline          time.Duration `json:"wait_deadline"`   // 0: orders wait without a limit
	ActionDeadline        time.Duration `json:"action_deadline"` // how long an order waits for a correction
	// Instructions are templates by account model. A model without one gets the built-in text if the customer owns the root user.
	Instructions map[Model]string `json:"instructions,omitempty"`
	// ProvideRootUser adds the root-access instructions to the result of an order whose customer owns the root user.
	ProvideRootUser bool `json:"provide_root_user"`
}

// OnFailure says what happens to an account that is verified clean after its order failed. Its values are those of the column
// pools.on_failure, of the API's on_failure and of the option --on-failure.
type OnFailure string

// The values of on_failure.
const (
	OnFailureReturn OnFailure = "return" // the account goes back to Ready
	OnFailurePark   OnFailure = "park"   // the account becomes Provisioning failed, and no order gets it
)

// The fields that hold one value per account model. The value of one model is named <field>.<model>.
const (
	InstructionsField = "instructions"
	ThresholdsField   = "model_thresholds"
)

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
	contactTypes        = []string{"BILLING", "OPERATIONS", "SECURITY"}
	reportPrefixPattern = regexp.MustCompile(`^[0-9A-Za-z!_.*'()-]+(/[0-9A-Za-z!_.*'()-]+)*$`)
	policyPattern       = regexp.MustCompile(`^arn:aws:iam::(aws|[0-9]{12}):policy/[\w+=,.@/-]{1,512}$`)
	placeholderPattern  = regexp.MustCompile(`\{[^{}\n]*\}`)
)

// Validate checks the configuration of a pool against the given account models and reports every invalid field, named as in
// the API.
func (c PoolConfig) Validate(models []AccountModel) []FieldError {
	var v fieldErrors
	v.pool(c.Pool)
	v.settings(c.Settings)
	v.instructions(c.Settings.Instructions, models)
	v.thresholds(c, models)
	v.check("renotify_seconds", between(c.RenotifyEvery, shortestRenotify, longestRenotify),
		"%d is out of range: use %d (5 minutes) to %d (30 days)",
		seconds(c.RenotifyEvery), seconds(shortestRenotify), seconds(longestRenotify))
	return v
}

func (v *fieldErrors) settings(s PoolSettings) {
	v.check("alternate_contact_types",
		len(s.AlternateContactTypes) > 0 && allOf(s.AlternateContactTypes, contactTypes) && distinct(s.AlternateContactTypes),
		"use one or more of %s, each once", strings.Join(contactTypes, ", "))
	v.check("report_kind", s.ReportKind == DataExport || s.ReportKind == LegacyCUR,
		"%q is not a kind of report: use export (CUR 2.0, Data Exports) or cur (legacy)", s.ReportKind)
	v.reportRegion(s)
	v.check("report_prefix", len(s.ReportPrefix) <= 200 && reportPrefixPattern.MatchString(s.ReportPrefix),
		"%q is not a prefix: use 1 to 200 characters of 0-9 A-Z a-z ! - _ . * ' ( ), and single slashes inside", s.ReportPrefix)
	v.policies(s.UserPolicyARNs)
	v.check("permissions_boundary_arn", s.PermissionsBoundary == "" || policyPattern.MatchString(s.PermissionsBoundary),
		"%q is not a policy ARN: write it as arn:aws:iam::aws:policy/<name> or arn:aws:iam::<account id>:policy/<name>, or leave it out",
		s.PermissionsBoundary)
	if allows, known := BoundaryAllowsFirstSignIn(s.PermissionsBoundary); known && !allows {
		v.add("permissions_boundary_arn", "%q does not allow iam:ChangePassword and iam:GetAccountPasswordPolicy, so a customer could not "+
			"change the first password and sign in; use a policy that allows both, such as one of your own, or leave it out",
			s.PermissionsBoundary)
	}
	v.check("on_failure", s.OnFailure == OnFailureReturn || s.OnFailure == OnFailurePark,
		"%q is not known: use %s or %s", s.OnFailure, OnFailureReturn, OnFailurePark)
	v.check("wait_deadline_seconds", s.WaitDeadline == 0 || between(s.WaitDeadline, shortestDeadline, longestDeadline),
		"%d is out of range: use %d (a minute) to %d (a year), or leave it out to let orders wait without a limit",
		seconds(s.WaitDeadline), seconds(shortestDeadline), seconds(longestDeadline))
	v.check("action_deadline_seconds", between(s.ActionDeadline, shortestDeadline, longestDeadline),
		"%d is out of range: use %d (a minute) to %d (a year)",
		seconds(s.ActionDeadline), seconds(shortestDeadline), seconds(longestDeadline))
}

func (v *fieldErrors) reportRegion(s PoolSettings) {
	const field = "report_region"
	switch region := s.ReportRegion; {
	case !regionPattern.MatchString(region):
		v.add(field, "%q is not an AWS region: write it as eu-central-1", region)
	case otherPartition.MatchString(region):
		v.add(field, "%q is in a partition that is not supported: use a region of the partition %q", region, supportedPartition)
	case !slices.Contains(bucketRegions, region):
		v.add(field, "S3 offers no buckets in the region %q: use one of %s", region, strings.Join(bucketRegions, ", "))
	case s.ReportKind == LegacyCUR && !slices.Contains(legacyReportRegions, region):
		v.add(field, "AWS delivers no legacy report to %q: use report_kind export, or one of %s",
			region, strings.Join(legacyReportRegions, ", "))
	}
}

func (v *fieldErrors) policies(arns []string) {
	const field = "user_policy_arns"
	attached := slices.Clone(arns)
	if !slices.Contains(attached, changePasswordPolicy) {
		attached = append(attached, changePasswordPolicy)
	}
	v.check(field, len(attached) <= maxUserPolicies,
		"%d policies: AWS attaches at most %d to a user, including IAMUserChangePassword, which is always attached",
		len(attached), maxUserPolicies)
	v.check(field, distinct(arns), "a policy is listed twice: name each policy once")
	for _, arn := range arns {
		v.check(field, policyPattern.MatchString(arn),
			"%q is not a policy ARN: write it as arn:aws:iam::aws:policy/<name> or arn:aws:iam::<account id>:policy/<name>", arn)
	}
}

func (v *fieldErrors) instructions(texts map[Model]string, models []AccountModel) {
	for _, id := range slices.Sorted(maps.Keys(texts)) {
		field, text := InstructionsField+"."+string(id), texts[id]
		model := findModel(id, models)
		if model == nil {
			v.add(InstructionsField, "%s", UnknownModelMessage(id, ModelIDs(models)))
			continue
		}
		fault := ParagraphsFault(text, maxInstructions)
		v.check(field, fault == "", "%s", fault)
		allowed := placeholderNames(*model)
		for _, placeholder := range placeholderPattern.FindAllString(text, -1) {
			v.check(field, slices.Contains(allowed, placeholder),
				"unknown placeholder %s: the known placeholders are %s", placeholder, strings.Join(allowed, " "))
		}
	}
}

func (v *fieldErrors) thresholds(c PoolConfig, models []AccountModel) {
	const rule = "%d is not a threshold: use 0 to %d, or leave it out"
	if t := c.StockThreshold; t != nil {
		v.check("stock_threshold", *t >= 0 && *t <= maxThreshold, rule, *t, maxThreshold)
	}
	for _, id := range slices.Sorted(maps.Keys(c.ModelThresholds)) {
		t := c.ModelThresholds[id]
		if findModel(id, models) == nil {
			v.add(ThresholdsField, "%s", UnknownModelMessage(id, ModelIDs(models)))
			continue
		}
		v.check(ThresholdsField+"."+string(id), t >= 0 && t <= maxThreshold, rule, t, maxThreshold)
	}
}

func allOf(some, all []string) bool {
	return !slices.ContainsFunc(some, func(one string) bool { return !slices.Contains(all, one) })
}

func distinct(some []string) bool {
	sorted := slices.Sorted(slices.Values(some))
	return len(slices.Compact(sorted)) == len(some)
}

func between(d, least, most time.Duration) bool { return d >= least && d <= most }

func seconds(d time.Duration) int64 { return int64(d / time.Second) }
