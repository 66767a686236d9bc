package provision

import (
	"slices"
	"strings"
	"time"
)

// AccountSeen is what an inspection saw of what the order is about to replace. It holds no personal data: of contacts only which
// there are.
type AccountSeen struct {
	Alias    string   `json:"alias,omitempty"`
	Contacts []string `json:"contacts,omitempty"` // types of alternate contacts, sorted; an account always has a primary contact
}

// Seen returns what may be shown of the journal.
func (j Journal) Seen() AccountSeen {
	seen := AccountSeen{Alias: j.Alias}
	for kind := range j.AlternateContacts {
		seen.Contacts = append(seen.Contacts, kind)
	}
	slices.Sort(seen.Contacts)
	return seen
}

// AccountChange is what one step of an order changed in an account.
type AccountChange struct {
	AccountChangeCursor
	State     StepState
	Before    string // empty: nothing, or not known
	After     string // empty: not known
	PutBackAt *time.Time
	Problem   string // why the last attempt failed
}

// AccountChangeCursor is the place of a change in the list of an account's changes.
type AccountChangeCursor struct {
	ChangedAt time.Time `json:"a" db:"started_at"`
	OrderID   string    `json:"o" db:"order_id"`
	Step      Step      `json:"s" db:"step"`
}

// notShown is what a change says instead of personal or secret values.
const notShown = "(not shown)"

// Describe sets what was there before the change and what the order made of it. seen is nil when no inspection has recorded it.
func (c *AccountChange) Describe(seen *AccountSeen, request Request, settings PoolSettings, report *Report) {
	switch c.Step {
	case StepUser:
		c.After = request.IAMUserName
	case StepSignIn:
		c.After = "a password that must be changed " + notShown
	case StepAlias:
		c.After = request.AccountAlias
		if seen != nil {
			c.Before = seen.Alias
		}
	case StepContacts:
		var types []string
		if request.AlternateContact != nil {
			types = slices.Sorted(slices.Values(settings.AlternateContactTypes))
		}
		c.After = contactsNotShown(types)
		if seen != nil {
			had := slices.DeleteFunc(slices.Clone(seen.Contacts), func(kind string) bool { return !slices.Contains(types, kind) })
			c.Before = contactsNotShown(had)
		}
	case StepReport:
		if report != nil {
			c.After = report.Name + " in bucket " + report.Bucket
		}
	}
}

// contactsNotShown names the primary contact and the given alternate contacts.
func contactsNotShown(types []string) string {
	return strings.Join(append([]string{"PRIMARY"}, types...), ", ") + " " + notShown
}
