package activities

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/awssim"
	"quartermaster/internal/provision"
)

func TestContactsThatSomeoneElseChangedAreLeftAlone(t *testing.T) {
	t.Parallel()
	customers := awssim.AlternateContact{Name: "Carol", Title: "CISO", EmailAddress: "carol@customer.example", PhoneNumber: "+49 30 99"}
	for name, c := range map[string]struct {
		edit     func(*awssim.Account)
		want     func(*awssim.Account) // changes to the account as it was before the order
		notes    []string              // each of which contains one of these words
		leftover int
	}{
		"another name": {
			edit:  func(a *awssim.Account) { a.Contact.FullName = "Someone Else" },
			want:  func(a *awssim.Account) { a.Contact.FullName = "Someone Else" },
			notes: []string{"name in the primary contact"}, leftover: 1,
		},
		"another address": {
			edit:  func(a *awssim.Account) { a.Contact.City = "Portland"; a.Contact.AddressLine2 = "" },
			want:  func(a *awssim.Account) { a.Contact.City = "Portland"; a.Contact.AddressLine2 = "" },
			notes: []string{"parts of the primary contact"}, leftover: 1,
		},
		"another security contact": {
			edit:  func(a *awssim.Account) { a.AlternateContacts["SECURITY"] = customers },
			want:  func(a *awssim.Account) { a.AlternateContacts["SECURITY"] = customers },
			notes: []string{"SECURITY"}, leftover: 1,
		},
		"no billing contact any more": {
			edit:  func(a *awssim.Account) { delete(a.AlternateContacts, "BILLING") },
			want:  func(a *awssim.Account) { delete(a.AlternateContacts, "BILLING") },
			notes: []string{"BILLING"}, leftover: 1,
		},
		"one put back already": {
			edit: func(a *awssim.Account) { a.Contact.FullName = "Pool Owner"; delete(a.AlternateContacts, "SECURITY") },
			want: func(*awssim.Account) {},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			before := w.account()
			d := w.mustDo()
			w.edit(c.edit)
			notes, verified := w.undo(d)
			require.Len(t, notes, len(c.notes))
			for i, word := range c.notes {
				require.Contains(t, notes[i], word)
				require.NotContains(t, notes[i], "Carol")
				require.NotContains(t, notes[i], "Someone Else")
			}
			require.Len(t, verified.Leftovers, c.leftover)
			c.want(&before)
			now := w.account()
			require.Equal(t, before.Contact, now.Contact)
			require.Len(t, now.AlternateContacts, len(before.AlternateContacts))
			for kind, contact := range before.AlternateContacts {
				require.Equal(t, contact, now.AlternateContacts[kind])
			}
		})
	}
}

func TestAnOrderWithoutAlternateContactWritesNone(t *testing.T) {
	t.Parallel()
	w := setup(t, func(from *initialState) { from.w.Request.AlternateContact = nil })
	d := w.mustDo()
	require.Equal(t, "Alice Customer", w.account().Contact.FullName)
	require.Equal(t, "Old Billing", w.account().AlternateContacts["BILLING"].Name)
	require.Zero(t, w.effects("PutAlternateContact"))
	notes, verified := w.undo(d)
	require.Empty(t, notes)
	require.Empty(t, verified.Leftovers)
	w.requireRestored()
}

func TestANameThatTheAccountAlreadyHasIsNotWritten(t *testing.T) {
	t.Parallel()
	w := setup(t, func(from *initialState) { from.w.Request.ContactName = "Pool Owner" })
	d := w.mustDo()
	require.Zero(t, w.effects("PutContactInformation"))
	notes, verified := w.undo(d)
	require.Empty(t, notes)
	require.Empty(t, verified.Leftovers)
	w.requireRestored()
}

func TestOldContactDataMakesTheAccountUnusable(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*awssim.Contact){
		"PhoneNumber":   func(c *awssim.Contact) { c.PhoneNumber = "206 555 0100" },
		"StateOrRegion": func(c *awssim.Contact) { c.StateOrRegion = "" },
		"CompanyName":   func(c *awssim.Contact) { c.CompanyName = strings.Repeat("x", 51) },
		"PostalCode":    func(c *awssim.Contact) { c.PostalCode = "" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, func(from *initialState) { spoil(from.account.Contact) })
			_, err := run(w, w.acts.Inspect, w.work())
			failure := w.requireFailure(err, provision.CodeAccountContactInvalid)
			require.Contains(t, failure.Reason, name)

			// If our check lets it pass, AWS refuses it too.
			_, err = run(w, w.acts.SetContacts, SetContacts{Work: w.work()})
			require.Error(t, err)
			w.requireRestored()
		})
	}
}

func TestRefusedContactsNameTheField(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*initialState)
		field  string
	}{
		"name":  {func(from *initialState) { from.w.Request.ContactName = strings.Repeat("x", 51) }, "aws_contact_name"},
		"email": {func(from *initialState) { from.w.Request.AlternateContact.Email = "no address" }, "aws_alternate_contact"},
		"phone": {func(from *initialState) { from.w.Request.AlternateContact.Phone = "call me" }, "aws_alternate_contact"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, c.change)
			_, err := run(w, w.acts.SetContacts, SetContacts{Work: w.work()})
			failure := w.requireFailure(err, provision.CodeContactRefused)
			require.Contains(t, failure.Field, c.field)
			require.Empty(t, failure.Value, "contact data is not repeated")
		})
	}
}

// The customer need not choose another name because of it.
func TestTheNameIsNotBlamedForAnOldPhoneNumber(t *testing.T) {
	t.Parallel()
	refusal := awssim.Fault{Operation: "PutContactInformation", Kind: awssim.Error, Code: "ValidationException", Status: 400}
	t.Run("whatever the name is", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		inspected, err := run(w, w.acts.Inspect, w.work())
		require.NoError(t, err)
		w.sim.Inject(refusal)
		_, err = run(w, w.acts.SetContacts, inspected.setContacts(w.work()))
		failure := w.requireFailure(err, provision.CodeAccountContactInvalid)
		require.Contains(t, failure.Reason, "even unchanged")
		require.NotEmpty(t, failure.RequestID)
		w.requireRestored()
	})
	t.Run("with this name only", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		inspected, err := run(w, w.acts.Inspect, w.work())
		require.NoError(t, err)
		first := refusal
		first.Nth = 1
		w.sim.Inject(first)
		_, err = run(w, w.acts.SetContacts, inspected.setContacts(w.work()))
		failure := w.requireFailure(err, provision.CodeContactRefused)
		require.Equal(t, "aws_contact_name", failure.Field)
		require.NotEmpty(t, failure.RequestID)
		w.requireRestored()
	})
	t.Run("AWS does not answer the question", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		inspected, err := run(w, w.acts.Inspect, w.work())
		require.NoError(t, err)
		first := refusal
		first.Nth = 1
		w.sim.Inject(first)
		w.sim.Inject(awssim.Fault{Operation: "PutContactInformation", Kind: awssim.Unavailable, Nth: 2})
		_, err = once(w, 1, w.acts.SetContacts, inspected.setContacts(w.work()))
		w.requireFailure(err, provision.CodeAWSUnavailable)
	})
}

// An operator must restore such a contact. The undo does not retry without end.
func TestAnEarlierContactThatAWSRefusesIsALeftover(t *testing.T) {
	t.Parallel()
	w := setup(t)
	d := w.mustDo()
	w.sim.Inject(awssim.Fault{Operation: "PutAlternateContact", Kind: awssim.Error, Code: "ValidationException", Status: 400})
	_, err := run(w, w.acts.RestoreContacts, RestoreContacts{Work: w.work(), Journal: d.inspected.Journal})
	failure := w.requireFailure(err, provision.CodeAccountContactInvalid)
	require.Contains(t, failure.Reason, "BILLING")
	verified, err := run(w, w.acts.CompareWithJournal, CompareWithJournal{Work: w.work(), Journal: d.inspected.Journal})
	require.NoError(t, err)
	require.Contains(t, verified.Leftovers, "the BILLING contact is still the ordered one")
}

// The undo also restores what the order wrote before a correction.
func TestContactsFromBeforeACorrectionAreRestored(t *testing.T) {
	t.Parallel()
	w := setup(t)
	d := w.mustDo()
	ordered := w.w.Request
	w.w.Request.ContactName = "Alice Corrected"
	contact := *ordered.AlternateContact
	contact.Phone = "+1 206 555 0199"
	w.w.Request.AlternateContact = &contact
	undo := RestoreContacts{Work: w.work(), Journal: d.inspected.Journal}

	undone, err := run(w, w.acts.RestoreContacts, undo)
	require.NoError(t, err)
	require.NotEmpty(t, undone.Notes, "without the earlier request, the contacts look like someone else's")

	w.w.EarlierRequests = []provision.Request{ordered}
	undone, err = run(w, w.acts.RestoreContacts, undo)
	require.NoError(t, err)
	require.Empty(t, undone.Notes)
	w.undo(d)
	w.requireRestored()
}

// The comparison covers the whole account, and not only what the order changed.
func TestTheComparisonCoversContactsThatTheOrderDidNotWrite(t *testing.T) {
	t.Parallel()
	w := setup(t, func(from *initialState) { from.w.Request.AlternateContact = nil })
	d := w.mustDo()
	w.edit(func(a *awssim.Account) { delete(a.AlternateContacts, "BILLING") })
	_, verified := w.undo(d)
	require.Len(t, verified.Leftovers, 1)
	require.Contains(t, verified.Leftovers[0], "BILLING")
}
