package provision

import (
	"crypto/rand"
	"encoding/hex"
	"regexp"
	"strings"
	"time"
)

// AccountStatus says what may be done with an account. The table account_transitions holds the allowed transitions;
// docs/states.md draws them.
type AccountStatus string

// The statuses of an account.
const (
	AccountReady              AccountStatus = "ready"
	AccountProvisioning       AccountStatus = "provisioning"
	AccountAllocated          AccountStatus = "allocated"
	AccountProvisioningFailed AccountStatus = "provisioning_failed"
	AccountInvalid            AccountStatus = "invalid"
)

// AccountStatuses are the statuses of an account.
var AccountStatuses = []AccountStatus{AccountReady, AccountProvisioning, AccountAllocated, AccountProvisioningFailed, AccountInvalid}

// AccountDeleted is the status in the last entry of a deleted account's history. No account has it.
const AccountDeleted AccountStatus = "deleted"

// Label returns the status as operators know it from the AWS Management extension.
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
	RootAccess  bool          `json:"root_access"  db:"root_access"` // the customer owns the root user; depends on the model
	Name        string        `json:"name"         db:"name"`
	RootEmail   string        `json:"root_email"   db:"root_email"`
	RoleARN     string        `json:"role_arn"     db:"role_arn"`    // the role that Quartermaster assumes in the account
	ExternalID  string        `json:"external_id"  db:"external_id"` // see NewExternalID
	AddedAt     time.Time     `json:"added_at"     db:"added_at"`    // orders get the account that was added first
	Status      AccountStatus `json:"status"       db:"status"`
	StatusSince time.Time     `json:"status_since" db:"status_since"`
	OrderID     string        `json:"order_id,omitempty" db:"order_id"`
	Reason      string        `json:"reason,omitempty"   db:"reason"`
	AccountVerification
}

// Partition returns the second field of the role's ARN (aws, aws-cn, …).
func (a Account) Partition() string {
	if parts := strings.SplitN(a.RoleARN, ":", 3); len(parts) == 3 {
		return parts[1]
	}
	return ""
}

// NewExternalID generates the external id that the trust policy of an account's role must demand. It is unique per account and
// never comes from an order. Source: IAM User Guide, "The confused deputy problem".
func NewExternalID() string {
	secret := make([]byte, 20)
	_, _ = rand.Read(secret) // crypto/rand never fails
	return "qm-" + hex.EncodeToString(secret)
}

// Patterns and bounds: AWS Organizations API Reference (CreateAccount: the address of a root user), IAM API Reference (CreateRole).
var (
	rootEmailPattern = regexp.MustCompile("^[!#$*+/0-9=?A-Z^_`a-z{}~-][!#$*+./0-9=?A-Z^_`a-z{}~-]*" +
		"@[0-9A-Za-z][0-9A-Za-z-]*[.][0-9A-Za-z.-]*[0-9A-Za-z]$")
	roleARNPattern = regexp.MustCompile(`^arn:(aws|aws-cn|aws-us-gov):iam::([0-9]{12}):role/[\w+=,.@/-]{1,512}$`)
)

// ValidateAccount checks an account before it is added to a pool, and reports every invalid field.
func ValidateAccount(a Account) []FieldError {
	var v fieldErrors
	v.check("id", twelveDigits.MatchString(a.ID), "%q is not an AWS account id: it has exactly 12 digits", a.ID)
	v.pool(a.Pool)
	v.text("model", string(a.Model), 40)
	v.text("name", a.Name, MaxName)
	v.check("root_email", len(a.RootEmail) >= 6 && len(a.RootEmail) <= 64 && rootEmailPattern.MatchString(a.RootEmail),
		"not an e-mail address that AWS accepts for a root user: write it as name@domain.tld, 6 to 64 ASCII characters; "+
			"the name has no spaces, none of \" ' ( ) < > [ ] : ; , \\ | %% & and no dot at its beginning")
	m := roleARNPattern.FindStringSubmatch(a.RoleARN)
	switch {
	case m == nil:
		v.add("role_arn", "%q is not a role ARN: write it as arn:aws:iam::<account id>:role/<name>", a.RoleARN)
	case m[1] != supportedPartition:
		v.add("role_arn", "partition %q is not supported: use a role of the partition %q", m[1], supportedPartition)
	case m[2] != a.ID:
		v.add("role_arn", "the role is in account %s, but the account is %s: name a role of this account", m[2], a.ID)
	}
	return v
}

// AccountUpdate holds the fields of an account that may change while it is Ready or Invalid; nil leaves a field as it is.
type AccountUpdate struct {
	Name      *string
	RootEmail *string
	RoleARN   *string // the account is verified again before an order can draw it
	Model     *Model
}

// Apply returns the updated account, and the names of the fields that changed.
func (u AccountUpdate) Apply(a Account) (updated Account, changed []string) {
	set := func(name string, field, value *string) {
		before := *field
		if SetIfGiven(field, value); *field != before {
			changed = append(changed, name)
		}
	}
	set("name", &a.Name, u.Name)
	set("root_email", &a.RootEmail, u.RootEmail)
	set("role_arn", &a.RoleARN, u.RoleARN)
	set("model", (*string)(&a.Model), (*string)(u.Model))
	return a, changed
}

// AccountHistoryEntry is one change of an account.
type AccountHistoryEntry struct {
	Seq        int64         `db:"seq"`
	At         time.Time     `db:"at"`
	Actor      string        `db:"actor"`
	FromStatus AccountStatus `db:"from_status"` // empty: the account was added
	ToStatus   AccountStatus `db:"to_status"`   // equal to FromStatus: something else changed, or someone requested an operation
	Code       string        `db:"code"`        // what did not change the status: update, verify, verified …; empty: the status changed
	Fields     []string      `db:"-"`           // that an update changed
	Refused    Code          `db:"refused"`     // why what was requested was refused; empty: it was not
	Reason     string        `db:"reason"`
	OrderID    string        `db:"order_id"`
}

// AccountFilter selects accounts, oldest first. Zero fields do not filter.
type AccountFilter struct {
	Statuses    []AccountStatus
	Marketplace string
	Environment Environment
	Model       Model
	// Search matches the beginning of the id, the order that holds the account, or the beginnings of words in its name and root e-mail.
	Search string
	// Awaiting selects accounts that become Ready when their verification passes, or the others.
	Awaiting *bool
	// HasFinding selects accounts whose last verification did not pass, or the others.
	HasFinding *bool
	Limit      int
	After      *AccountCursor // the last account of the previous page
}

// AccountCounts counts accounts by status.
type AccountCounts struct {
	Ready              int `db:"ready"`
	Provisioning       int `db:"provisioning"`
	Allocated          int `db:"allocated"`
	ProvisioningFailed int `db:"provisioning_failed"`
	Invalid            int `db:"invalid"`
	Awaiting           int `db:"awaiting"`    // of the Invalid ones: they become Ready when their verification passes
	HasFinding         int `db:"has_finding"` // of any status: their last verification did not pass
}

// All returns the number of accounts of all statuses.
func (c AccountCounts) All() int {
	return c.Ready + c.Provisioning + c.Allocated + c.ProvisioningFailed + c.Invalid
}

// AccountCursor is a position in the list of accounts.
type AccountCursor struct {
	AddedAt time.Time `json:"a"`
	ID      string    `json:"i"`
}
