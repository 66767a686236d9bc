package activities

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/awssim"
	"quartermaster/internal/provision"
)

func TestUnusableAccountsAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*initialState)
		code   provision.Code
	}{
		"wrong external id": {func(from *initialState) { from.w.Account.ExternalID = "guessed" }, provision.CodeAccountCannotBeEntered},
		"no such role": {func(from *initialState) { from.w.Account.RoleARN = "arn:aws:iam::" + accountID + ":role/gone" },
			provision.CodeAccountCannotBeEntered},
		"no such account": {func(from *initialState) { from.w.Account.RoleARN = "arn:aws:iam::999999999999:role/quartermaster" },
			provision.CodeAccountCannotBeEntered},
		"suspended": {func(from *initialState) { from.account.State = awssim.StateSuspended }, provision.CodeAccountCannotBeEntered},
		"the role of another": {func(from *initialState) { from.w.Account.RoleARN = "arn:aws:iam::" + otherID + ":role/quartermaster" },
			provision.CodeWrongAccount},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, c.change)
			_, err := run(w, w.acts.Inspect, w.work())
			failure := w.requireFailure(err, c.code)
			require.Equal(t, provision.KindAccount, failure.Code.Kind())

			// No other activity does anything there either. If the order has opened a session there before, an operator must decide.
			w.acts.Timings.RefusedFor = time.Nanosecond
			later := c.code
			if later == provision.CodeAccountCannotBeEntered {
				later = provision.CodeAccountCannotBeReentered
			}
			for _, call := range []func() error{
				func() error { _, err := run(w, w.acts.CreateUser, w.work()); return err },
				func() error { _, err := run(w, w.acts.RemoveUser, UserUndo{Work: w.work()}); return err },
				func() error { _, err := run(w, w.acts.SetContacts, SetContacts{Work: w.work()}); return err },
				func() error { _, err := run(w, w.acts.RestoreContacts, RestoreContacts{Work: w.work()}); return err },
				func() error { _, err := run(w, w.acts.SetAlias, w.work()); return err },
				func() error { _, err := run(w, w.acts.RestoreAlias, RestoreAlias{Work: w.work()}); return err },
				func() error { _, err := run(w, w.acts.SetUpReport, SetUpReport{Work: w.work()}); return err },
				func() error { _, err := run(w, w.acts.RemoveReport, RemoveReport{Work: w.work()}); return err },
				func() error { _, err := run(w, w.acts.EnableSignIn, EnableSignIn{Work: w.work()}); return err },
				func() error { _, err := run(w, w.acts.DisableSignIn, UserUndo{Work: w.work()}); return err },
			} {
				w.requireFailure(call(), later)
			}
			_, err = run(w, w.acts.CompareWithJournal, CompareWithJournal{Work: w.work()})
			w.requireFailure(err, c.code)
			require.Empty(t, w.sim.Effects())
		})
	}
}

func TestAnAccountThatIsSuspendedDuringItsInspection(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.sim.Inject(awssim.Fault{Operation: "ListAccountAliases", Kind: awssim.Error, Code: "AccountProblem", Status: 403})
	_, err := run(w, w.acts.Inspect, w.work())
	w.requireFailure(err, provision.CodeAccountSuspended)
}

func TestInspectChangesNothingAndAcceptsTheOrdersUser(t *testing.T) {
	t.Parallel()
	w := setup(t)
	_, err := run(w, w.acts.Inspect, w.work())
	require.NoError(t, err)
	require.Empty(t, w.sim.Effects())
	w.requireRestored()
	_, err = run(w, w.acts.CreateUser, w.work())
	require.NoError(t, err)
	_, err = run(w, w.acts.Inspect, w.work())
	require.NoError(t, err, "a user that carries the order's nonce is no obstacle")
}

// Old roles may lack this one permission.
func TestInspectWithoutPermissionToReadTheState(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.sim.Inject(awssim.Fault{Operation: "GetAccountInformation", Kind: awssim.AccessDenied})
	_, err := run(w, w.acts.Inspect, w.work())
	require.NoError(t, err)
}

// One attempt is enough to name the call that does not answer. The retries of one call do not multiply those of another.
func TestInspectWhenAssumeRoleDoesNotAnswer(t *testing.T) {
	t.Parallel()
	w := setup(t, func(from *initialState) {
		from.cloud.CallTimeout, from.cloud.OpenTimeout = 50*time.Millisecond, 170*time.Millisecond
	})
	w.sim.Inject(awssim.Fault{Operation: "AssumeRole", Kind: awssim.Timeout})
	began := time.Now()
	_, err := once(w, 1, w.acts.Inspect, w.work())
	require.Less(t, time.Since(began), 10*time.Second)
	failure := w.requireFailure(err, provision.CodeAWSUnavailable)
	require.Contains(t, failure.Reason, "sts:AssumeRole")
	require.Equal(t, provision.StepRetrying, w.stepRow(provision.StepInspect).State)
	require.Contains(t, w.stepRow(provision.StepInspect).Problem, "sts:AssumeRole")
	asked := slices.DeleteFunc(w.operations(), func(operation string) bool { return operation != "AssumeRole" })
	require.LessOrEqual(t, len(asked), 3)
}

func TestReadsAreRepeated(t *testing.T) {
	t.Parallel()
	for _, kind := range []awssim.Kind{awssim.Reset, awssim.InternalError, awssim.Throttle, awssim.ExpiredToken} {
		w := setup(t)
		w.sim.Inject(awssim.Fault{Operation: "GetContactInformation", Times: 1, Kind: kind})
		_, err := once(w, 1, w.acts.Inspect, w.work())
		require.NoError(t, err, kind)
	}
}
