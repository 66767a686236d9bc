package provision

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestInstructionsNeverRevealTheProvidersRootEmail(t *testing.T) {
	t.Parallel()
	account := Account{ID: "111122223333", Model: ModelECAM, RootAccess: true, RootEmail: "root@acme.test"}
	got := Result{AccountAlias: "berg", IAMUserName: "anna"}
	standard := PoolSettings{ProvideRootUser: true}
	require.Contains(t, standard.Instruct(account, got).RootInstructions, "enter root@acme.test", "the built-in text")
	ours := PoolSettings{ProvideRootUser: true, Instructions: texts("ECAM", "{alias}/{account_id}/{iam_user_name}")}
	require.Equal(t, "berg/111122223333/anna", ours.Instruct(account, got).RootInstructions)
	ours.ProvideRootUser = false
	require.Equal(t, got, ours.Instruct(account, got))

	account.Model, account.RootAccess = ModelSPAM, false
	require.Equal(t, got, standard.Instruct(account, got))
	ours.ProvideRootUser, ours.Instructions = true, texts("SPAM", "Sign in as {iam_user_name}. {root_email}")
	with := ours.Instruct(account, got)
	require.Empty(t, with.RootInstructions)
	require.Equal(t, "Sign in as anna. ", with.Instructions, "the provider's address is never revealed")
}
