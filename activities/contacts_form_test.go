package activities

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/awssim"
	"quartermaster/internal/provision"
)

// normalizing makes AWS store contacts in another form than the one in which they were written.
func normalizing(from *initialState) {
	from.account.Quirks.NormalizeContacts = true
	from.w.Request.ContactName = "Alice  Customer"
	from.w.Request.AlternateContact = &provision.AlternateContact{Name: "Bob  Customer", Email: "Bob.CUSTOMER@Customer.Example",
		Phone: "0049 (30) 12-34", Title: "CFO "}
}

// requireNothingOfTheCustomer requires that the account is as in the journal, except for the form of its values.
func (w *fixture) requireNothingOfTheCustomer(journal provision.Journal) {
	w.t.Helper()
	now, err := run(w, w.acts.Inspect, w.work())
	require.NoError(w.t, err)
	require.True(w.t, alike(journal.Contact.FullName, now.Journal.Contact.FullName) &&
		alikeExceptName(journal.Contact, now.Journal.Contact), "%+v", now.Journal.Contact)
	require.Len(w.t, now.Journal.AlternateContacts, len(journal.AlternateContacts))
	for kind, earlier := range journal.AlternateContacts {
		got := now.Journal.AlternateContacts[kind]
		require.True(w.t, alikeAlternates(&earlier, &got), kind)
	}
	snapshot := strings.ToLower(string(w.sim.Snapshot(accountID)))
	for _, data := range []string{"customer.example", "bob", "alice"} {
		require.NotContains(w.t, snapshot, data)
	}
}

// The order completes, and its undo leaves none of the customer's data.
func TestContactsThatAWSNormalizesAreRecognized(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*initialState){"at once": func(*initialState) {}, "eventually": eventually} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, normalizing, change)
			d := w.mustDo()
			require.Equal(t, "bob.customer@customer.example", w.account().AlternateContacts["BILLING"].EmailAddress)
			require.Equal(t, "Alice Customer", d.written.FullName)
			require.Equal(t, provision.AlternateContact{Name: "Bob Customer", Email: "bob.customer@customer.example", Phone: "+49(30)12-34",
				Title: "CFO"}, d.written.Alternates["SECURITY"])
			notes, verified := w.undo(d)
			require.Empty(t, notes)
			require.Empty(t, verified.Leftovers)
			w.requireNothingOfTheCustomer(d.inspected.Journal)
			w.undo(d) // again
			w.requireNothingOfTheCustomer(d.inspected.Journal)
		})
	}
	t.Run("undone although the answer of the step was lost", func(t *testing.T) {
		t.Parallel()
		w := setup(t, normalizing)
		d := w.mustDo()
		d.written = nil
		notes, verified := w.undo(d)
		require.Empty(t, notes)
		require.Empty(t, verified.Leftovers)
		w.requireNothingOfTheCustomer(d.inspected.Journal)
	})
	t.Run("a lost reply", func(t *testing.T) {
		t.Parallel()
		for _, operation := range []string{"PutContactInformation", "PutAlternateContact"} {
			w := setup(t, normalizing)
			w.sim.Inject(awssim.Fault{Operation: operation, Nth: 1, When: awssim.After, Kind: awssim.Reset})
			d := w.mustDo()
			require.Equal(t, "Alice Customer", d.written.FullName)
			require.Len(t, d.written.Alternates, 3)
			w.undo(d)
			w.requireNothingOfTheCustomer(d.inspected.Journal)
		}
	})
	t.Run("the pool's setting has changed since", func(t *testing.T) {
		t.Parallel()
		w := setup(t, normalizing)
		d := w.mustDo()
		w.w.Settings.AlternateContactTypes = []string{"OPERATIONS"}
		notes, verified := w.undo(d)
		require.Empty(t, notes)
		require.Empty(t, verified.Leftovers)
		w.requireNothingOfTheCustomer(d.inspected.Journal)
	})
	t.Run("before a correction", func(t *testing.T) {
		t.Parallel()
		w := setup(t, normalizing)
		d := w.mustDo()
		w.w.EarlierRequests = []provision.Request{w.w.Request}
		w.w.Request.ContactName, w.w.Request.AlternateContact = "Alice B. Customer", nil
		_, err := run(w, w.acts.SetContacts, d.setContacts(w.work()))
		require.NoError(t, err)
		undone, err := run(w, w.acts.RestoreContacts, RestoreContacts{Work: w.work(), Journal: d.inspected.Journal})
		require.NoError(t, err)
		require.Empty(t, undone.Notes)
		d.written = nil
		w.undo(d)
		w.requireNothingOfTheCustomer(d.inspected.Journal)
	})
}

// AWS spells a name in its own way. What it shows after the write is still ours.
func TestContactsThatAWSRewritesAreRecognized(t *testing.T) {
	t.Parallel()
	spelled := alterations{"GetContactInformation": rewrite(func(body string) string {
		return strings.ReplaceAll(body, "Alice Müller",
			"ALICE MUELLER")
	})}
	ordered := func(from *initialState) { from.w.Request.ContactName = "Alice Müller" }
	t.Run("written and undone", func(t *testing.T) {
		t.Parallel()
		w := setup(t, quick, ordered)
		w.proxy.alter(spelled)
		d := w.mustDo()
		require.Equal(t, "ALICE MUELLER", d.written.FullName)
		require.Equal(t, "Alice Müller", w.account().Contact.FullName)

		again := done{inspected: d.inspected}
		require.NoError(t, w.setUp(&again), "a repeat comes to the same end")
		require.Equal(t, d, again)
		w.requireUndone(d, awssim.Fault{})
	})
	t.Run("a name that is not ours", func(t *testing.T) {
		t.Parallel()
		w := setup(t, quick, ordered)
		w.proxy.alter(spelled)
		d := w.mustDo()
		w.edit(func(a *awssim.Account) { a.Contact.FullName = "Alice Mueller" })
		notes, verified := w.undo(d)
		require.Len(t, notes, 1)
		require.Len(t, verified.Leftovers, 1)
		require.Equal(t, "Alice Mueller", w.account().Contact.FullName)
	})
	t.Run("the result of an earlier write is no answer", func(t *testing.T) {
		t.Parallel()
		w := setup(t, quick, ordered)
		d := w.mustDo()
		stale := alterations{"GetContactInformation": rewrite(func(body string) string {
			return strings.ReplaceAll(body, "Alice Corrected",
				"Alice Müller")
		})}
		w.proxy.alter(stale)
		w.w.EarlierRequests = []provision.Request{w.w.Request}
		w.w.Request.ContactName = "Alice Corrected"
		_, err := once(w, 1, w.acts.SetContacts, d.setContacts(w.work()))
		w.requireFailure(err, provision.CodeNotYetVisible)
	})
	t.Run("nor is what was there before", func(t *testing.T) {
		t.Parallel()
		w := setup(t, quick, ordered)
		inspected, err := run(w, w.acts.Inspect, w.work())
		require.NoError(t, err)
		w.proxy.alter(alterations{"GetContactInformation": rewrite(func(body string) string {
			return strings.ReplaceAll(body, "Alice Müller",
				"Pool Owner")
		})})
		_, err = once(w, 1, w.acts.SetContacts, inspected.setContacts(w.work()))
		w.requireFailure(err, provision.CodeNotYetVisible)
	})
}

func TestAlike(t *testing.T) {
	t.Parallel()
	require.True(t, alike(" Alice  Customer", "alice customer "))
	require.True(t, alike("Ärzte GmbH", "ÄRZTE GMBH"))
	require.False(t, alike("Alice", "Alicia"))
	require.True(t, alikePhones("+49 (30) 12-34", "0049301234"))
	require.False(t, alikePhones("+49 30 1234", "+49 30 1235"))
	require.True(t, alikeAlternates(nil, nil))
	require.False(t, alikeAlternates(nil, &provision.AlternateContact{}))
	one := provision.AlternateContact{Name: "a", Email: "b", Phone: "1", Title: "c"}
	for _, change := range []func(*provision.AlternateContact){
		func(c *provision.AlternateContact) { c.Name = "x" }, func(c *provision.AlternateContact) { c.Email = "x" },
		func(c *provision.AlternateContact) { c.Phone = "2" }, func(c *provision.AlternateContact) { c.Title = "x" },
	} {
		other := one
		change(&other)
		require.False(t, alikeAlternates(&one, &other))
	}
}
