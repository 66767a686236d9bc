package provision

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestInstructionsNeverRevealTheProvidersRootEmail(t *testing.T) {
	t.Parallel()
	account := Account{ID: "111122223333", Model: ModelECAM, RootAccess: true, RootEmail: "root@acme.test"}
	got := Result{AccountAlias: "berg", IAMUserName: "anna"}
	require.Contains(t, PoolSettings{}.Instruct(account, got).RootInstructions, "enter root@acme.test", "the built-in text")
	old := PoolSettings{RootInstructions: "Ask {root_email}."}
	require.Equal(t, "Ask root@acme.test.", old.Instruct(account, got).RootInstructions,
		"an order that was opened before there were texts by model")
	ours := PoolSettings{Instructions: texts("ECAM", "{alias}/{account_id}/{iam_user_name}")}
	require.Equal(t, "berg/111122223333/anna", ours.Instruct(account, got).RootInstructions)
	ours.WithoutRootAccess = true
	require.Equal(t, got, ours.Instruct(account, got))

	account.Model, account.RootAccess = ModelSPAM, false
	require.Equal(t, got, PoolSettings{}.Instruct(account, got))
	ours.Instructions = texts("SPAM", "Sign in as {iam_user_name}. {root_email}")
	with := ours.Instruct(account, got)
	require.Empty(t, with.RootInstructions)
	require.Equal(t, "Sign in as anna. ", with.Instructions, "the provider's address is never revealed")
}
