package provision

import (
	"slices"
	"strings"
)

// Correction replaces fields of an order that waits for one. Absent fields keep their values.
type Correction struct {
	UseExistingCUR   *string           `json:"use_existing_cur,omitempty"`  // empty: create a new report instead
	ExistingCURKind  *ReportKind       `json:"existing_cur_kind,omitempty"` // naming another report without it clears it
	IAMUserName      *string           `json:"iam_user_name,omitempty"`
	ContactName      *string           `json:"aws_contact_name,omitempty"`
	AlternateContact *AlternateContact `json:"aws_alternate_contact,omitempty"`
	AccountAlias     *string           `json:"aws_account_alias,omitempty"`
}

// Fields returns the names of the fields that the correction replaces, as in the API.
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

// Apply returns the corrected request.
func (c Correction) Apply(r Request) Request {
	if c.UseExistingCUR != nil {
		r.UseExistingCUR, r.ExistingCURKind = *c.UseExistingCUR, ""
	}
	SetIfGiven(&r.ExistingCURKind, c.ExistingCURKind)
	SetIfGiven(&r.IAMUserName, c.IAMUserName)
	SetIfGiven(&r.ContactName, c.ContactName)
	SetIfGiven(&r.AccountAlias, c.AccountAlias)
	if c.AlternateContact != nil {
		contact := *c.AlternateContact
		r.AlternateContact = &contact
	}
	return r
}

// Answers reports whether the correction replaces a field that the failure asks for.
func (c Correction) Answers(f Failure) bool {
	return slices.ContainsFunc(AskedFields(f), func(field string) bool { return slices.Contains(c.Fields(), field) })
}

// AskedFields returns the fields of the order that a failure asks to correct. A report is identified by its name and, where two
// reports share the name, by its kind.
func AskedFields(f Failure) []string {
	switch top := TopField(f.Field); top {
	case "":
		return nil
	case "use_existing_cur":
		return []string{top, "existing_cur_kind"}
	default:
		return []string{top}
	}
}

// TopField returns the field of the order that contains a field: aws_alternate_contact for aws_alternate_contact.phone.
func TopField(field string) string {
	top, _, _ := strings.Cut(field, ".")
	return top
}
