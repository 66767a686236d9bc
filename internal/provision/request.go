package provision

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
)

// OrderModeNewAccount is the only order mode.
const OrderModeNewAccount = "new_account"

// Request is what the marketplace orders.
type Request struct {
	Marketplace    string      `json:"marketplace"`
	Environment    Environment `json:"environment"`
	OrderMode      string      `json:"order_mode"`
	AccountModel   Model       `json:"account_model,omitempty"`    // empty: any
	Customer       *Customer   `json:"customer,omitempty"`         // nil: the marketplace did not say
	UseExistingCUR string      `json:"use_existing_cur,omitempty"` // the name of a report; empty: create a new report
	// ExistingCURKind says which report is meant when the account has one of each kind under that name; empty: the only one.
	ExistingCURKind  ReportKind        `json:"existing_cur_kind,omitempty"`
	IAMUserName      string            `json:"iam_user_name"`
	ContactName      string            `json:"aws_contact_name"`
	AlternateContact *AlternateContact `json:"aws_alternate_contact,omitempty"`
	AccountAlias     string            `json:"aws_account_alias"`
	CallbackURL      string            `json:"callback_url,omitempty"`
}

// Hash returns the SHA-256 of the request's JSON. Two requests with the same hash are the same order sent twice.
func (r Request) Hash() []byte {
	text, err := json.Marshal(r)
	if err != nil {
		panic("a request of plain strings always encodes: " + err.Error())
	}
	sum := sha256.Sum256(text)
	return sum[:]
}

// Differs returns the names of the fields in which the other request differs, as in the API, in alphabetical order.
func (r Request) Differs(other Request) (fields []string) {
	a, b := r.members(), other.members()
	for name := range a {
		if !bytes.Equal(a[name], b[name]) {
			fields = append(fields, name)
		}
	}
	for name := range b {
		if _, both := a[name]; !both {
			fields = append(fields, name)
		}
	}
	slices.Sort(fields)
	return fields
}

// members returns the JSON of each field.
func (r Request) members() (members map[string]json.RawMessage) {
	text, err := json.Marshal(r)
	if err == nil {
		err = json.Unmarshal(text, &members)
	}
	if err != nil {
		panic("a request of plain strings always encodes: " + err.Error())
	}
	return members
}

// Patterns and bounds: IAM API Reference (CreateUser, CreateAccountAlias), AWS Account Management API Reference
// (PutContactInformation, PutAlternateContact), Cost and Usage Report API Reference (ReportDefinition).
var (
	orderIDPattern    = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,64}$`)
	userNamePattern   = regexp.MustCompile(`^[A-Za-z0-9_+=,.@-]{1,64}$`)
	aliasPattern      = regexp.MustCompile(`^[a-z0-9](-?[a-z0-9])+$`)
	twelveDigits      = regexp.MustCompile(`^[0-9]{12}$`)
	reportNamePattern = regexp.MustCompile(`^[0-9A-Za-z!_.*'()-]{1,256}$`)
	contactPhone      = regexp.MustCompile(`^[0-9 ()+-]{1,25}$`)
	contactEmail      = regexp.MustCompile(`^[\w+=.#|!&-]+@[\w.-]+\.\w+$`)
	atLeastOneDigit   = regexp.MustCompile(`[0-9]`)
)

// ValidateOrderID checks the id that the marketplace gives an order.
func ValidateOrderID(id string) []FieldError {
	if orderIDPattern.MatchString(id) {
		return nil
	}
	return []FieldError{{"id", fmt.Sprintf("%q is not an order id: use 1 to 64 characters of A-Z a-z 0-9 . _ : -", id)}}
}

// Validate checks everything that can be checked before an account is claimed, and reports every invalid field. The callback URL
// follows the rule of all webhooks, webhooks.Policy.
func (r Request) Validate() []FieldError {
	var v fieldErrors
	v.pool(Pool{Marketplace: r.Marketplace, Environment: r.Environment})
	v.check("order_mode", r.OrderMode == OrderModeNewAccount,
		"%q is not an order mode: use %q", r.OrderMode, OrderModeNewAccount)
	if r.Customer != nil {
		v.customer(*r.Customer)
	}
	v.existingReport(r)
	v.check("iam_user_name", userNamePattern.MatchString(r.IAMUserName),
		"%q is not an IAM user name: use 1 to 64 characters of A-Z a-z 0-9 _ + = , . @ -", r.IAMUserName)
	v.text("aws_contact_name", r.ContactName, 50)
	if c := r.AlternateContact; c != nil {
		v.alternateContact(*c)
	}
	if twelveDigits.MatchString(r.AccountAlias) {
		v.add("aws_account_alias", "%q has twelve digits like an account id: AWS refuses such an alias", r.AccountAlias)
	} else {
		v.check("aws_account_alias", len(r.AccountAlias) >= 3 && len(r.AccountAlias) <= 63 && aliasPattern.MatchString(r.AccountAlias),
			"%q is not an account alias: use 3 to 63 lower-case letters, digits and single hyphens inside", r.AccountAlias)
	}
	return v
}

func (v *fieldErrors) existingReport(r Request) {
	name, kind := r.UseExistingCUR, r.ExistingCURKind
	v.check("use_existing_cur", name == "" || reportNamePattern.MatchString(name),
		"%q is not a report name: use 1 to 256 characters of 0-9 A-Z a-z ! - _ . * ' ( ), "+
			"or leave the field out to create a new report", name)
	v.check("existing_cur_kind", kind == "" || name != "",
		"%q is the kind of an existing report, but use_existing_cur is missing: "+
			"name the report, or leave both out to create a new one", kind)
	v.check("existing_cur_kind", kind == "" || kind == LegacyCUR || kind == DataExport,
		"%q is not a kind of report: use cur (legacy) or export (Data Exports), or leave it out", kind)
}

func (v *fieldErrors) alternateContact(c AlternateContact) {
	v.text("aws_alternate_contact.name", c.Name, 64)
	v.check("aws_alternate_contact.email", len(c.Email) <= 254 && contactEmail.MatchString(c.Email),
		"not an e-mail address that AWS accepts: write it as name@domain.tld, at most 254 characters")
	v.check("aws_alternate_contact.phone", contactPhone.MatchString(c.Phone) && atLeastOneDigit.MatchString(c.Phone),
		"not a phone number that AWS accepts: use 1 to 25 digits, spaces and ( ) + -")
	v.text("aws_alternate_contact.title", c.Title, 50)
}
