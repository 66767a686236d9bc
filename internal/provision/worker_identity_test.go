package provision

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAPrincipalIsARoleOrAUser(t *testing.T) {
	t.Parallel()
	for arn, want := range map[string]struct {
		principal string
		guessed   bool
		problem   string
	}{
		"arn:aws:iam::999988887777:role/ops/workers":         {"arn:aws:iam::999988887777:role/ops/workers", false, ""},
		"arn:aws:iam::999988887777:user/jane":                {"arn:aws:iam::999988887777:user/jane", false, ""},
		"arn:aws:sts::999988887777:assumed-role/workers/i-1": {"arn:aws:iam::999988887777:role/workers", true, "name the role itself"},
		"arn:aws:iam::999988887777:root":                     {"", false, "is not a role or user"},
		"arn:aws:sts::999988887777:federated-user/jane":      {"", false, "is not a role or user"},
		"workers": {"", false, "is not a role or user"},
		"":        {"", false, "is not a role or user"},
	} {
		principal, guessed := WorkerIdentity{ARN: arn}.Principal()
		require.Equal(t, want.principal, principal, arn)
		require.Equal(t, want.guessed, guessed, arn)
		err := ValidatePrincipal(arn)
		if want.problem == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, want.problem)
		}
	}
}
