package provision

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What a person wrote or is called never appears, only that it is there.
func TestAChangeShowsNoContacts(t *testing.T) {
	t.Parallel()
	journal := Journal{Alias: "old", Contact: Contact{FullName: "Jane Roe"},
		AlternateContacts: map[string]AlternateContact{"SECURITY": {Name: "Jane Roe"}, "BILLING": {Email: "jane@acme.example"}}}
	seen := journal.Seen()
	require.Equal(t, AccountSeen{Alias: "old", Contacts: []string{"BILLING", "SECURITY"}}, seen)

	request := Request{ContactName: "Anna Berg", AlternateContact: &AlternateContact{Name: "Anna Berg"}}
	settings := PoolSettings{AlternateContactTypes: []string{"OPERATIONS", "BILLING"}}
	change := AccountChange{AccountChangeCursor: AccountChangeCursor{Step: StepContacts}}
	change.Describe(&seen, request, settings, nil)
	require.Equal(t, "PRIMARY, BILLING (not shown)", change.Before, "the order leaves the security contact alone")
	require.Equal(t, "PRIMARY, BILLING, OPERATIONS (not shown)", change.After)

	change.Before = ""
	change.Describe(nil, request, settings, nil)
	require.Empty(t, change.Before, "an inspection of an earlier release recorded nothing")
}
