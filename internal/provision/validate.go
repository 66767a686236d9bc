package provision

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"unicode/utf8"
)

// FieldError is one refused field of a request: where, what and how to put it right.
type FieldError struct {
	Field   string // path as the API writes it, e.g. aws_alternate_contact.phone
	Message string // names the rule and the way out
}

// OrderModeNewAccount is the only order mode there is.
const OrderModeNewAccount = "new_account"

// Patterns and bounds: IAM API Reference (CreateUser, CreateAccountAlias), AWS Account Management API Reference
// (PutContactInformation, PutAlternateContact), AWS Organizations API Reference (CreateAccount: the address of a root user), Cost and Usage
// Report API Reference (ReportDefinition).
var (
	orderIDPattern     = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,64}$`)
	slugPattern        = regexp.MustCompile(`^[a-z0-9](-?[a-z0-9])*$`)
	userNamePattern    = regexp.MustCompile(`^[A-Za-z0-9_+=,.@-]{1,64}$`)
	aliasPattern       = regexp.MustCompile(`^[a-z0-9](-?[a-z0-9])+$`)
	twelveDigits       = regexp.MustCompile(`^[0-9]{12}$`)
	reportNamePattern  = regexp.MustCompile(`^[0-9A-Za-z!_.*'()-]{1,256}$`)
	contactPhone       = regexp.MustCompile(`^[0-9 ()+-]{1,25}$`)
	contactEmail       = regexp.MustCompile(`^[\w+=.#|!&-]+@[\w.-]+\.\w+$`)
	rootEmail          = regexp.MustCompile("^[!#$*+/0-9=?A-Z^_`a-z{}~-][!#$*+./0-9=?A-Z^_`a-z{}~-]*@[0-9A-Za-z][0-9A-Za-z-]*[.][0-9A-Za-z.-]*[0-9A-Za-z]$")
	roleARNPattern     = regexp.MustCompile(`^arn:(aws|aws-cn|aws-us-gov):iam::([0-9]{12}):role/[\w+=,.@/-]{1,512}$`)
	atLeastOneDigit    = regexp.MustCompile(`[0-9]`)
	controlCharacters  = regexp.MustCompile(`[\x00-\x1f\x7f]`)
	supportedPartition = "aws"
)

// ValidateOrderID checks the marketplace's request id.
func ValidateOrderID(id string) []FieldError {
	if orderIDPattern.MatchString(id) {
		return nil
	}
	return []FieldError{{"id", fmt.Sprintf("%q is not an order id: use 1 to 64 characters of A-Z a-z 0-9 . _ : -", id)}}
}

// Validate checks everything that can be checked before an account is claimed and reports every wrong field at once.
func (r Request) Validate() []FieldError {
	var v fieldErrors
	v.check("marketplace", slugPattern.MatchString(r.Marketplace) && len(r.Marketplace) <= 40,
		"%q is not a marketplace id: use lower-case letters, digits and single hyphens, at most 40", r.Marketplace)
	v.check("environment", r.Environment == Production || r.Environment == Test,
		"%q is not an environment: use production or test", r.Environment)
	v.check("order_mode", r.OrderMode == OrderModeNewAccount,
		"order mode %q is not offered: the only one is %q", r.OrderMode, OrderModeNewAccount)
	v.check("use_existing_cur", r.UseExistingCUR == "" || reportNamePattern.MatchString(r.UseExistingCUR),
		"%q is not a report name: use 1 to 256 characters of 0-9 A-Z a-z ! - _ . * ' ( ), or leave the field out to create a new report", r.UseExistingCUR)
	v.check("existing_cur_kind", r.ExistingCURKind == "" || r.UseExistingCUR != "",
		"%q says which of two reports use_existing_cur means: name the report, or leave this out to create a new one", r.ExistingCURKind)
	v.check("existing_cur_kind", r.ExistingCURKind == "" || r.ExistingCURKind == LegacyCUR || r.ExistingCURKind == DataExport,
		"%q is not a kind of report: use cur (legacy) or export (Data Exports), or leave it out", r.ExistingCURKind)
	v.check("iam_user_name", userNamePattern.MatchString(r.IAMUserName),
		"%q is not an IAM user name: use 1 to 64 characters of A-Z a-z 0-9 _ + = , . @ -", r.IAMUserName)
	v.text("aws_contact_name", r.ContactName, 50)
	if c := r.AlternateContact; c != nil {
		v.text("aws_alternate_contact.name", c.Name, 64)
		v.check("aws_alternate_contact.email", len(c.Email) <= 254 && contactEmail.MatchString(c.Email),
			"not an e-mail address that AWS accepts: write it as name@domain.tld, at most 254 characters")
		v.check("aws_alternate_contact.phone", contactPhone.MatchString(c.Phone) && atLeastOneDigit.MatchString(c.Phone),
			"not a phone number that AWS accepts: use 1 to 25 digits, spaces and ( ) + -")
		v.text("aws_alternate_contact.title", c.Title, 50)
	}
	switch {
	case twelveDigits.MatchString(r.AccountAlias):
		v.add("aws_account_alias", "%q has twelve digits, as an account id has: AWS refuses such an alias", r.AccountAlias)
	default:
		v.check("aws_account_alias", len(r.AccountAlias) >= 3 && len(r.AccountAlias) <= 63 && aliasPattern.MatchString(r.AccountAlias),
			"%q is not an account alias: use 3 to 63 lower-case letters, digits and single hyphens inside", r.AccountAlias)
	}
	if r.CallbackURL != "" {
		u, err := url.Parse(r.CallbackURL)
		v.check("callback_url", err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil && len(r.CallbackURL) <= 2048,
			"not a URL that webhooks are sent to: use https://host/path without a password in it, at most 2048 characters")
	}
	return v
}

// ValidateAccount checks an account that is to be added to a pool.
func ValidateAccount(a Account) []FieldError {
	var v fieldErrors
	v.check("id", twelveDigits.MatchString(a.ID), "%q is not an AWS account id: it has exactly 12 digits", a.ID)
	v.check("marketplace", slugPattern.MatchString(a.Marketplace) && len(a.Marketplace) <= 40,
		"%q is not a marketplace id: use lower-case letters, digits and single hyphens, at most 40", a.Marketplace)
	v.check("environment", a.Environment == Production || a.Environment == Test,
		"%q is not an environment: use production or test", a.Environment)
	v.text("model", string(a.Model), 40)
	v.text("name", a.Name, 100)
	v.check("root_email", len(a.RootEmail) >= 6 && len(a.RootEmail) <= 64 && rootEmail.MatchString(a.RootEmail),
		"not an e-mail address that AWS accepts for a root user: write it as name@domain.tld, 6 to 64 characters of ASCII, the name without spaces and \" ' ( ) < > [ ] : ; , \\ | %% & and without a dot at its beginning")
	m := roleARNPattern.FindStringSubmatch(a.RoleARN)
	switch {
	case m == nil:
		v.add("role_arn", "%q is not a role: write it as arn:aws:iam::<account id>:role/<name>", a.RoleARN)
	case m[1] != supportedPartition:
		v.add("role_arn", "partition %q is not supported: only %q is", m[1], supportedPartition)
	case m[2] != a.ID:
		v.add("role_arn", "the role is in account %s, but the account is %s: name the role of this account", m[2], a.ID)
	}
	return v
}

type fieldErrors []FieldError

func (v *fieldErrors) add(field, format string, args ...any) {
	*v = append(*v, FieldError{field, fmt.Sprintf(format, args...)})
}

func (v *fieldErrors) check(field string, ok bool, format string, args ...any) {
	if !ok {
		v.add(field, format, args...)
	}
}

func (v *fieldErrors) text(field, s string, most int) {
	n := utf8.RuneCountInString(s)
	v.check(field, n >= 1 && n <= most && utf8.ValidString(s) && strings.TrimSpace(s) == s && !controlCharacters.MatchString(s),
		"needs 1 to %d characters, no control characters and no space at either end; it has %d", most, n)
}
