package provision

import (
	"slices"
	"strings"
)

// Correction replaces fields of an order that waits for action. Absent fields stay.
type Correction struct {
	UseExistingCUR   *string           `json:"use_existing_cur,omitempty"`  // empty: create a new report instead
	ExistingCURKind  *ReportKind       `json:"existing_cur_kind,omitempty"` // dropped when another report is named without it
	IAMUserName      *string           `json:"iam_user_name,omitempty"`
	ContactName      *string           `json:"aws_contact_name,omitempty"`
	AlternateContact *AlternateContact `json:"aws_alternate_contact,omitempty"`
	AccountAlias     *string           `json:"aws_account_alias,omitempty"`
}

// Fields are the names of what the correction replaces, as the API writes them.
func (c Correction) Fields() (names []string) {
	for _, f := range []struct {
		name  string
		given bool
	}{
		{"use_existing_cur", c.UseExistingCUR != nil},
		{"existing_cur_kind", c.ExistingCURKind != nil},
		{"iam_user_name", c.IAMUserName != nil},
		{"aws_contact_name", c.ContactName != nil},
		{"aws_alternate_contact", c.AlternateContact != nil},
		{"aws_account_alias", c.AccountAlias != nil},
	} {
		if f.given {
			names = append(names, f.name)
		}
	}
	return names
}

// Apply is the request with the correction in it.
func (c Correction) Apply(r Request) Request {
	set := func(field *string, value *string) {
		if value != nil {
			*field = *value
		}
	}
	if c.UseExistingCUR != nil {
		r.UseExistingCUR, r.ExistingCURKind = *c.UseExistingCUR, ""
	}
	if c.ExistingCURKind != nil {
		r.ExistingCURKind = *c.ExistingCURKind
	}
	set(&r.IAMUserName, c.IAMUserName)
	set(&r.ContactName, c.ContactName)
	set(&r.AccountAlias, c.AccountAlias)
	if c.AlternateContact != nil {
		contact := *c.AlternateContact
		r.AlternateContact = &contact
	}
	return r
}

// Answers tells whether the correction replaces a field that the failure asks for.
func (c Correction) Answers(f Failure) bool {
	return slices.ContainsFunc(Asked(f), func(field string) bool { return slices.Contains(c.Fields(), field) })
}

// Asked are the fields of the order that a failure asks for. A report has a name and, where that is not enough, a kind.
func Asked(f Failure) []string {
	switch top := TopField(f.Field); top {
	case "":
		return nil
	case "use_existing_cur":
		return []string{top, "existing_cur_kind"}
	default:
		return []string{top}
	}
}

// TopField is the field of the order that holds a field: aws_alternate_contact for aws_alternate_contact.phone.
func TopField(field string) string {
	top, _, _ := strings.Cut(field, ".")
	return top
}

// Action is what an operator or a marketplace does to an order, and why.
type Action struct {
	Actor     string `json:"actor"`
	Reason    string `json:"reason"`
	AccountID string `json:"account_id,omitempty"` // the account that is meant; empty: whichever the order holds
	ID        string `json:"id,omitempty"`         // of the update that asked for it: a repeat of the same action is known by it
}
