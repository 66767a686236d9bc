package provision

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBoundariesThatPreventTheFirstSignInAreRefused(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"PowerUserAccess", "ReadOnlyAccess", "SecurityAudit", "job-function/ViewOnlyAccess", "job-function/Billing",
	} {
		c := DefaultPool(Pool{Provider: "acme", Marketplace: "store", Environment: Test})
		c.Settings.PermissionsBoundary = "arn:aws:iam::aws:policy/" + name
		wrong := c.Validate(models)
		require.Len(t, wrong, 1, name)
		require.Equal(t, "permissions_boundary_arn", wrong[0].Field)
		require.Contains(t, wrong[0].Message, `policy/`+name+`" does not allow iam:ChangePassword and iam:GetAccountPasswordPolicy`)
		require.Contains(t, wrong[0].Message, "or leave it out")
	}
	for boundary, warned := range map[string]bool{
		"": false, "arn:aws:iam::aws:policy/AdministratorAccess": false,
		"arn:aws:iam::111122223333:policy/PowerUserAccess": true, // a customer managed policy of the same name
		"arn:aws:iam::aws:policy/SomethingNew":             true,
	} {
		c := DefaultPool(Pool{Provider: "acme", Marketplace: "store", Environment: Test})
		c.Settings.PermissionsBoundary = boundary
		require.Empty(t, c.Validate(models), boundary)
		if !warned {
			require.Empty(t, c.Warnings(), boundary)
			continue
		}
		require.Len(t, c.Warnings(), 1, boundary)
		require.Contains(t, c.Warnings()[0],
			"permissions_boundary_arn: "+boundary+" must allow iam:ChangePassword and iam:GetAccountPasswordPolicy")
	}
}
