package console

import (
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

func TestGrantsOfGroupsAreRead(t *testing.T) {
	t.Parallel()
	parsed, err := ParseGroupGrants(`
# the platform team
platform-team = acme:operator , CN=Admins\,OU=Groups\,DC=acme=acme:admin

acme shop=acme:marketplace(nordic+baltic)
`)
	require.NoError(t, err)
	require.Equal(t, []GroupGrant{
		{"platform-team", provision.Grant{Provider: "acme", Role: provision.RoleOperator}},
		{"CN=Admins,OU=Groups,DC=acme", provision.Grant{Provider: "acme", Role: provision.RoleAdmin}},
		{"acme shop", provision.Grant{Provider: "acme", Role: provision.RoleMarketplace, Marketplaces: []string{"nordic", "baltic"}}},
	}, parsed)

	for text, message := range map[string]string{
		"":                           "it grants nothing: write group=provider:role, such as platform-team=acme:operator",
		"a=acme:viewer,ops":          `"ops": it names no group`,
		"=acme:viewer":               "it names no group",
		"ops=acme":                   `"ops=acme": it names no role`,
		"ops=Acme:viewer":            `"Acme" is not the id of a provider`,
		"ops=acme:root":              `"root" is not a role: use marketplace, viewer, operator or admin`,
		"ops=acme:marketplace":       "the role marketplace needs its marketplaces: write marketplace(nordic)",
		"ops=acme:marketplace()":     `"" is not the id of a marketplace`,
		"ops=acme:marketplace(a+B)":  `"B" is not the id of a marketplace`,
		"ops=acme:marketplace(a":     "a ) is missing",
		"ops=acme:operator(nordic)":  "the role operator sees all marketplaces: leave (nordic) out",
		"o=acme:viewer,o=acme:admin": `"o=acme:admin": the group already has the role viewer at acme: keep one of the two`,
	} {
		_, err := ParseGroupGrants(text)
		require.ErrorContains(t, err, message, text)
	}
}

func TestGroupsAddUp(t *testing.T) {
	t.Parallel()
	groupMap, err := ParseGroupGrants("look=acme:viewer,run=acme:operator,n=acme:marketplace(nordic)," +
		"b=acme:marketplace(baltic+nordic),g=globex:viewer")
	require.NoError(t, err)
	at := func(provider string, role provision.Role, marketplaces ...string) provision.Grant {
		return provision.Grant{Provider: provider, Role: role, Marketplaces: marketplaces}
	}
	for _, c := range []struct {
		groups []string
		want   []provision.Grant
	}{
		{nil, nil},
		{[]string{"LOOK", "other"}, nil},
		{[]string{"run", "look"}, []provision.Grant{at("acme", provision.RoleOperator)}},
		{[]string{"n", "look"}, []provision.Grant{at("acme", provision.RoleViewer)}},
		{[]string{"b", "n"}, []provision.Grant{at("acme", provision.RoleMarketplace, "baltic", "nordic")}},
		{[]string{"g", "n"}, []provision.Grant{at("acme", provision.RoleMarketplace, "nordic"), at("globex", provision.RoleViewer)}},
	} {
		require.Equal(t, c.want, grantsOf(groupMap, c.groups), c.groups)
	}
	require.Equal(t, []string{"nordic"}, groupMap[2].Grant.Marketplaces, "the map stays as it is")
}
