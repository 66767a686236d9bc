// Package provision holds the words of the product: accounts, orders, their states, and what can go wrong.
// It imports only the standard library; every other package speaks in these types.
package provision

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Model is the AWS Solution Provider Program's account model. The known ones are rows of account_models, not code.
type Model string

// The models that the first migration writes.
const (
	ModelSPAM Model = "SPAM" // Solution Provider Account Model: the provider owns the root user
	ModelECAM Model = "ECAM" // End Customer Account Model: the customer owns the root user
)

// Environment separates real stock from stock for trying things out.
type Environment string

// The environments of a pool.
const (
	Production Environment = "production"
	Test       Environment = "test"
)

// Pool names the stock that an order draws from.
type Pool struct {
	Provider    string      `json:"provider"    db:"provider"`
	Marketplace string      `json:"marketplace" db:"marketplace"`
	Environment Environment `json:"environment" db:"environment"`
}

// String is the pool as operators read it: provider/marketplace/environment.
func (p Pool) String() string {
	return p.Provider + "/" + p.Marketplace + "/" + string(p.Environment)
}

// OrderKey names an order. The id is the marketplace's, so it is unique only within its provider.
type OrderKey struct {
	Provider string `json:"provider" db:"provider"`
	ID       string `json:"id"       db:"id"`
}

// String is the key as logs and audit rows write it: provider/id.
func (k OrderKey) String() string { return k.Provider + "/" + k.ID }

// AlternateContact is the customer's contact for billing, operations or security mail from AWS.
// Bounds: AWS Account Management API Reference, PutAlternateContact.
type AlternateContact struct {
	Name  string `json:"name"`
	Email string `json:"email"`
	Phone string `json:"phone"`
	Title string `json:"title"`
}

// Request is what the marketplace ordered, as validated (see Request.Validate).
type Request struct {
	Marketplace      string            `json:"marketplace"`
	Environment      Environment       `json:"environment"`
	OrderMode        string            `json:"order_mode"`
	AccountModel     Model             `json:"account_model,omitempty"`     // empty: any
	UseExistingCUR   string            `json:"use_existing_cur,omitempty"`  // empty: create a new report
	ExistingCURKind  ReportKind        `json:"existing_cur_kind,omitempty"` // which one is meant when the account has both of that name; empty: the one there is
	IAMUserName      string            `json:"iam_user_name"`
	ContactName      string            `json:"aws_contact_name"`
	AlternateContact *AlternateContact `json:"aws_alternate_contact,omitempty"`
	AccountAlias     string            `json:"aws_account_alias"`
	CallbackURL      string            `json:"callback_url,omitempty"`
}

// Hash is the SHA-256 of the canonical form of the request, its JSON: what makes "the same order again" the same.
func (r Request) Hash() []byte {
	text, err := json.Marshal(r)
	if err != nil {
		panic("a request of plain strings always encodes: " + err.Error())
	}
	sum := sha256.Sum256(text)
	return sum[:]
}

// Order is an accepted order: what the workflow gets.
type Order struct {
	OrderKey
	Request    Request   `json:"request"`
	AcceptedAt time.Time `json:"accepted_at"`
	// Nonce is a UUID that marks everything the order creates in AWS. It is drawn with the order, so that an order whose row
	// was lost and is written again still knows its own.
	Nonce string `json:"nonce,omitempty"`
}

// Pool is the stock that the order draws from.
func (o Order) Pool() Pool {
	return Pool{Provider: o.Provider, Marketplace: o.Request.Marketplace, Environment: o.Request.Environment}
}

// OrderState is where an order stands. The transitions stand in the table order_transitions and are drawn in docs/states.md.
type OrderState string

// The states of an order.
const (
	Accepted          OrderState = "accepted"
	WaitingForAccount OrderState = "waiting_for_account"
	Provisioning      OrderState = "provisioning"
	ActionRequired    OrderState = "action_required"
	Completed         OrderState = "completed"
	Compensating      OrderState = "compensating"
	Failed            OrderState = "failed"
	Cancelled         OrderState = "cancelled"
)

// Ended tells whether the order will never change again.
func (s OrderState) Ended() bool { return s == Completed || s == Failed || s == Cancelled }

// AccountStatus is what may be done with an account. The transitions stand in the table account_transitions.
type AccountStatus string

// The statuses of an account.
const (
	AccountReady              AccountStatus = "ready"
	AccountProvisioning       AccountStatus = "provisioning"
	AccountAllocated          AccountStatus = "allocated"
	AccountProvisioningFailed AccountStatus = "provisioning_failed"
	AccountInvalid            AccountStatus = "invalid"
)

// Label is the status as operators of the AWS Management extension know it.
func (s AccountStatus) Label() string {
	switch s {
	case AccountReady:
		return "Ready"
	case AccountProvisioning:
		return "Provisioning in progress"
	case AccountAllocated:
		return "Allocated"
	case AccountProvisioningFailed:
		return "Provisioning failed"
	case AccountInvalid:
		return "Invalid"
	}
	return string(s)
}

// Account is one AWS account of a pool.
type Account struct {
	ID string `json:"id" db:"id"` // AWS account id, 12 digits
	Pool
	Model       Model         `json:"model"        db:"model"`
	RootAccess  bool          `json:"root_access"  db:"root_access"` // of the model: the customer owns the root user
	Name        string        `json:"name"         db:"name"`
	RootEmail   string        `json:"root_email"   db:"root_email"`
	RoleARN     string        `json:"role_arn"     db:"role_arn"`    // the role to assume in the account
	ExternalID  string        `json:"external_id"  db:"external_id"` // made by us, demanded by the role's trust policy
	AddedAt     time.Time     `json:"added_at"     db:"added_at"`    // the age of the account: the oldest is drawn first
	Status      AccountStatus `json:"status"       db:"status"`
	StatusSince time.Time     `json:"status_since" db:"status_since"`
	OrderID     string        `json:"order_id,omitempty" db:"order_id"`
	Reason      string        `json:"reason,omitempty"   db:"reason"`
	AccountVerification
}

// Partition is the second field of the role's ARN (aws, aws-cn, …).
func (a Account) Partition() string {
	if parts := strings.SplitN(a.RoleARN, ":", 3); len(parts) == 3 {
		return parts[1]
	}
	return ""
}

// ReportKind says what a new cost report is.
type ReportKind string

// The kinds of report.
const (
	LegacyCUR  ReportKind = "cur"    // Cost and Usage Report, API cur
	DataExport ReportKind = "export" // CUR 2.0, API bcm-data-exports
)

// PoolSettings is how the accounts of one pool are provisioned. It stands in the histories of running orders: a new field is
// left out when it is empty, and empty means what was done before there was the field.
type PoolSettings struct {
	AlternateContactTypes []string      `json:"alternate_contact_types"` // BILLING, OPERATIONS, SECURITY
	ReportKind            ReportKind    `json:"report_kind"`
	ReportRegion          string        `json:"report_region"`
	ReportPrefix          string        `json:"report_prefix"`
	UserPolicyARNs        []string      `json:"user_policy_arns"`
	PermissionsBoundary   string        `json:"permissions_boundary_arn,omitempty"`
	Park                  bool          `json:"park"`            // never reuse an account whose order failed
	WaitDeadline          time.Duration `json:"wait_deadline"`   // 0: wait for ever
	ActionDeadline        time.Duration `json:"action_deadline"` // how long an order waits for a correction
	// Instructions are templates by account model. What has none: the built-in text for models whose customer owns the root user.
	Instructions map[Model]string `json:"instructions,omitempty"`
	// WithoutRootAccess keeps the root-access instructions out of the results of orders.
	WithoutRootAccess bool `json:"without_root_access,omitempty"`
	// RootInstructions is the template of orders that were opened before there were Instructions.
	RootInstructions string `json:"root_instructions,omitempty"`
}

// Contact is the primary contact of an AWS account. It is written as a whole: what is absent in a write is lost.
// Source: AWS Account Management API Reference, PutContactInformation.
type Contact struct {
	FullName         string `json:"full_name"`
	AddressLine1     string `json:"address_line_1"`
	AddressLine2     string `json:"address_line_2,omitempty"`
	AddressLine3     string `json:"address_line_3,omitempty"`
	City             string `json:"city"`
	StateOrRegion    string `json:"state_or_region,omitempty"`
	DistrictOrCounty string `json:"district_or_county,omitempty"`
	PostalCode       string `json:"postal_code"`
	CountryCode      string `json:"country_code"`
	PhoneNumber      string `json:"phone_number"`
	CompanyName      string `json:"company_name,omitempty"`
	WebsiteURL       string `json:"website_url,omitempty"`
}

// Journal is what the account looked like before the order touched it: what an undo puts back, and what the account is
// compared with before it may be Ready again.
type Journal struct {
	Alias             string                      `json:"alias,omitempty"`
	Contact           Contact                     `json:"contact"`
	AlternateContacts map[string]AlternateContact `json:"alternate_contacts,omitempty"` // by type; absent: there was none
}

// WrittenContacts is what AWS shows of an account's contacts after an order has written them. AWS may store another form than it was
// sent, so this, and not what was sent, tells whose a value is.
type WrittenContacts struct {
	FullName   string                      `json:"full_name"`            // of the primary contact
	Alternates map[string]AlternateContact `json:"alternates,omitempty"` // by type
}

// Report is the cost report that feeds the customer's usage.
type Report struct {
	Name     string     `json:"name"`
	Kind     ReportKind `json:"kind"`
	Existing bool       `json:"existing"`      // linked, not created
	ARN      string     `json:"arn,omitempty"` // Data Exports only: AWS assigns it
	Bucket   string     `json:"bucket"`
	Prefix   string     `json:"prefix"`
	Region   string     `json:"region"`
	// UsageFrom is when a linked report first holds usage; nil when it has delivered some already.
	UsageFrom *time.Time `json:"usage_from,omitempty"`
	// Warnings are what a later reader of a linked report needs to know.
	Warnings []string `json:"warnings,omitempty"`
}

// User is the IAM user made for the customer. The id (AIDA…) tells it from a later user of the same name.
type User struct {
	Name string `json:"name"`
	ID   string `json:"id"`
	ARN  string `json:"arn"`
}

// Result is what the customer gets.
type Result struct {
	AccountID           string    `json:"account_id"`
	AccountModel        Model     `json:"account_model"`
	AccountAlias        string    `json:"account_alias"`
	SignInURL           string    `json:"sign_in_url"`            // by alias
	SignInURLByID       string    `json:"sign_in_url_by_id"`      // by account id: works when the alias changes
	IAMUserName         string    `json:"iam_user_name"`          //
	Report              Report    `json:"report"`                 //
	UsageAvailableFrom  time.Time `json:"usage_available_from"`   // when the report first holds usage
	OlderUsageAvailable bool      `json:"older_usage_available"`  // false for a new report: what was used before is lost
	RootInstructions    string    `json:"root_access,omitempty"`  // only for models whose customer owns the root user
	Instructions        string    `json:"instructions,omitempty"` // the pool's text for other models, if there is one
	ManualSteps         []string  `json:"manual_steps,omitempty"` // what AWS has no API for
	Warnings            []string  `json:"warnings,omitempty"`     // what the customer needs to know about the report and the sign-in
	CompletedAt         time.Time `json:"completed_at"`           //
}

// Step is a part of the work as operators see it.
type Step string

// The steps, in the order of the story.
const (
	StepClaim    Step = "claim_account"
	StepInspect  Step = "inspect_account"
	StepUser     Step = "iam_user"
	StepContacts Step = "contacts"
	StepAlias    Step = "account_alias"
	StepReport   Step = "cost_report"
	StepSignIn   Step = "sign_in"
	StepAllocate Step = "allocate"
	StepCompare  Step = "compare_with_journal"
)

// Changes tells whether the step, or its undo, changes the account.
func (s Step) Changes() bool {
	switch s {
	case StepUser, StepContacts, StepAlias, StepReport, StepSignIn:
		return true
	}
	return false
}

// Steps lists the steps that an order goes through.
var Steps = []Step{StepClaim, StepInspect, StepUser, StepContacts, StepAlias, StepReport, StepSignIn, StepAllocate}

// SignInURL is the console's address for an alias or an account id.
// Source: IAM User Guide, "Account alias" (aws partition).
func SignInURL(aliasOrID string) string {
	return fmt.Sprintf("https://%s.signin.aws.amazon.com/console/", aliasOrID)
}
