package workflows_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"quartermaster/internal/provision"
	"quartermaster/workflows"
)

func codeOf(t *testing.T, err error) string {
	t.Helper()
	var app *temporal.ApplicationError
	require.ErrorAs(t, err, &app)
	return app.Type()
}

func alias(value string) workflows.Correction {
	return workflows.Correction{Fields: provision.Correction{AccountAlias: &value}, By: provision.Intervention{Actor: "key store"}}
}

func TestACorrectionResumesInPlace(t *testing.T) {
	t.Parallel()
	env, w := setup(t)
	w.fail["SetAlias"] = refused(provision.CodeAliasTaken)
	env.RegisterDelayedCallback(func() {
		delete(w.fail, "SetAlias")
		update(env, workflows.UpdateCorrect, alias("green-hill"), func(err error) { require.NoError(t, err) })
	}, 72*time.Hour)
	env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)

	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, []string{"blue-sky", "green-hill"}, w.aliases)
	require.Equal(t, "green-hill", w.result.AccountAlias)
	require.Equal(t, []string{"OpenOrder", "ClaimAccount", "Inspect", "RequireAction", "Correct", "Resume", "EnableSignIn", "Allocate"},
		w.story(), "the claim is kept, nothing is undone")
	for _, once := range []string{"CreateUser", "SetContacts", "SetUpReport"} {
		require.Len(t, slices.DeleteFunc(slices.Clone(w.calls), func(call string) bool { return call != once }), 1,
			"the parallel steps are not repeated")
	}
	require.Equal(t, "aws_account_alias", w.asked[0].Field)
}

func TestAnAnsweredQuestionLeavesNoTimerBehind(t *testing.T) {
	t.Parallel()
	env, w := setup(t)
	w.fail["SetAlias"] = refused(provision.CodeAliasTaken)
	timers := map[string]time.Duration{}
	env.SetOnTimerScheduledListener(func(id string, duration time.Duration) { timers[id] = duration })
	env.SetOnTimerCanceledListener(func(id string) { delete(timers, id) })
	env.RegisterDelayedCallback(func() {
		require.Contains(t, slices.Collect(maps.Values(timers)), 14*24*time.Hour, "the question has its deadline")
		delete(w.fail, "SetAlias")
		update(env, workflows.UpdateCorrect, alias("green-hill"), nil)
	}, time.Hour)
	env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
	require.NoError(t, env.GetWorkflowError())
	require.NotContains(t, slices.Collect(maps.Values(timers)), 14*24*time.Hour)
}

func TestABadCorrectionIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	env, w := setup(t)
	w.fail["SetAlias"] = refused(provision.CodeAliasTaken)
	var refusals []string
	refusal := func(err error) { refusals = append(refusals, codeOf(t, err)) }
	name := "another.user"
	env.RegisterDelayedCallback(func() {
		update(env, workflows.UpdateCorrect, alias("Not An Alias"), refusal)
		update(env, workflows.UpdateCorrect, workflows.Correction{Fields: provision.Correction{IAMUserName: &name}}, refusal)
		update(env, workflows.UpdateCorrect, workflows.Correction{}, refusal)
	}, time.Hour)
	env.RegisterDelayedCallback(func() {
		delete(w.fail, "SetAlias")
		update(env, workflows.UpdateCorrect, alias("green-hill"), func(err error) { require.NoError(t, err) })
	}, 2*time.Hour)
	env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, []string{string(provision.CodeInputRefused), string(provision.CodeNotAsked), string(provision.CodeInputRefused)},
		refusals)
	require.Equal(t, []string{"blue-sky", "green-hill"}, w.aliases)
}

func TestACorrectionWithoutAQuestionIsRefused(t *testing.T) {
	t.Parallel()
	env, w := setup(t)
	w.stock = 0
	var refusal error
	env.RegisterDelayedCallback(func() {
		update(env, workflows.UpdateCorrect, alias("green-hill"), func(err error) { refusal = err })
		update(env, workflows.UpdateRetry, operator, func(err error) { require.Equal(t, string(provision.CodeNotAsked), codeOf(t, err)) })
		update(env, workflows.UpdateSwap, operator, func(err error) { require.Equal(t, string(provision.CodeNotAsked), codeOf(t, err)) })
		w.stock = 1
		env.SignalWorkflow(workflows.SignalStock, nil)
	}, time.Hour)
	env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, string(provision.CodeNotAsked), codeOf(t, refusal))
	require.Empty(t, w.actions, "a refused action leaves no trace")
}

func TestTwoQuestionsAtOnceAreAnsweredOneByOne(t *testing.T) {
	t.Parallel()
	env, w := setup(t)
	w.fail["SetAlias"] = refused(provision.CodeAliasTaken)
	w.fail["SetContacts"] = refused(provision.CodeContactRefused)
	env.RegisterDelayedCallback(func() {
		delete(w.fail, "SetAlias")
		update(env, workflows.UpdateCorrect, alias("green-hill"), func(err error) { require.NoError(t, err) })
	}, time.Hour)
	contact := provision.AlternateContact{Name: "Desk", Email: "desk@customer.example", Phone: "+46 8 1", Title: "Desk"}
	env.RegisterDelayedCallback(func() {
		require.NotContains(t, w.calls, "Resume", "one question is still open")
		delete(w.fail, "SetContacts")
		update(env, workflows.UpdateCorrect, workflows.Correction{Fields: provision.Correction{AlternateContact: &contact}},
			func(err error) { require.NoError(t, err) })
	}, 2*time.Hour)
	env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
	require.NoError(t, env.GetWorkflowError())
	require.Contains(t, w.calls, "Resume")
	require.NotNil(t, w.result)
}

func TestNoOneAnswers(t *testing.T) {
	t.Parallel()
	env, w := setup(t)
	w.fail["CreateUser"] = refused(provision.CodeUserNameTaken)
	env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
	require.Equal(t, string(provision.CodeActionDeadlinePassed), codeOf(t, env.GetWorkflowError()))
	require.Equal(t, provision.Failed, w.closing.State)
	require.Equal(t, "iam_user_name", w.closing.Failure.Field, "the reason still names what was wrong")
	require.Nil(t, w.closing.Failure.AnswerBy, "an order that has failed asks nothing")
	require.WithinDuration(t, theOrder.AcceptedAt.Add(14*24*time.Hour), *w.asked[0].AnswerBy, time.Minute, "the question says when it expires")
	require.WithinDuration(t, theOrder.AcceptedAt.Add(14*24*time.Hour), env.Now().UTC(), time.Minute)
	require.Contains(t, w.calls, "RestoreAlias")
}

func TestAnOperatorMendsAndRetries(t *testing.T) {
	t.Parallel()
	env, w := setup(t)
	w.fail["SetUpReport"] = refused(provision.CodeReportQuotaReached)
	env.RegisterDelayedCallback(func() {
		update(env, workflows.UpdateCorrect, alias("green-hill"), func(err error) {
			require.Equal(t, string(provision.CodeNotAsked), codeOf(t,
				err))
		})
		delete(w.fail, "SetUpReport")
		update(env, workflows.UpdateRetry, operator, func(err error) { require.NoError(t, err) })
	}, time.Hour)
	env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
	require.NoError(t, env.GetWorkflowError())
	require.Len(t, w.actions, 1)
	require.NotEmpty(t, w.actions[0].By.ID, "a repeat is known by the update")
	w.actions[0].By.ID = ""
	require.Equal(t, operator, w.actions[0].By)
	require.Equal(t, workflows.UpdateRetry, w.actions[0].Action)
}

func TestCancelAndFailByUpdate(t *testing.T) {
	t.Parallel()
	for verb, state := range map[string]provision.OrderState{workflows.UpdateCancel: provision.Cancelled,
		workflows.UpdateFail: provision.Failed} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			for moment, prepare := range map[string]func(w *activityScript){
				"waiting for stock":  func(w *activityScript) { w.stock = 0 },
				"waiting for action": func(w *activityScript) { w.fail["SetAlias"] = refused(provision.CodeAliasTaken) },
			} {
				env, w := setup(t)
				prepare(w)
				env.RegisterDelayedCallback(func() {
					update(env, verb, operator, func(err error) { require.NoError(t, err, moment) })
				}, time.Hour)
				env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
				require.Error(t, env.GetWorkflowError())
				require.Equal(t, state == provision.Cancelled, temporal.IsCanceledError(env.GetWorkflowError()),
					"Temporal shows what the order shows")
				require.Equal(t, state, w.closing.State, moment)
				require.Equal(t, operator.Reason, w.closing.Failure.Comment)
				require.NotContains(t, w.closing.Failure.Reason, operator.Reason, "events show the reason")
				require.Len(t, w.actions, 1)
			}
		})
	}
}

func TestSwapGoesOnWithTheNextAccount(t *testing.T) {
	t.Parallel()
	env, w := setup(t)
	w.stock = 2
	w.fail["SetUpReport"] = refused(provision.CodePermissionMissing)
	w.after["RejectAccount"] = func() { delete(w.fail, "SetUpReport") }
	swap := operator
	swap.AccountID = "000000000001"
	var repeated error
	env.RegisterDelayedCallback(func() { update(env, workflows.UpdateSwap, swap, func(err error) { require.NoError(t, err) }) }, time.Hour)
	w.after["Inspect"] = func() {
		if len(w.rejected) == 1 { // the order holds the second account: a repeat does not mean that one
			update(env, workflows.UpdateSwap, swap, func(err error) { repeated = err })
		}
	}
	env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, "000000000002", w.result.AccountID)
	require.Len(t, w.rejected, 1)
	require.Equal(t, operator.Reason, w.rejected[0].Failure.Comment)
	require.Contains(t, w.calls, "RestoreAlias", "the first account was undone")
	require.Equal(t, string(provision.CodeNotAsked), codeOf(t, repeated))
	require.ErrorContains(t, repeated, "holds account 000000000002, not account 000000000001")
	require.Len(t, w.actions, 1)
}

func TestTooLateToStop(t *testing.T) {
	t.Parallel()
	env, w := setup(t)
	var refusal error
	w.after["Allocate"] = func() { update(env, workflows.UpdateCancel, operator, func(err error) { refusal = err }) }
	env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
	require.NoError(t, env.GetWorkflowError())
	if refusal != nil { // the update may also meet a workflow that is already closed
		require.Equal(t, string(provision.CodeTooLate), codeOf(t, refusal))
	}
	require.NotNil(t, w.result)
	require.Empty(t, w.actions)
}

func TestTheUndoKnowsWhatAWSHasShown(t *testing.T) {
	t.Parallel()
	env, w := setup(t)
	w.fail["SetAlias"] = refused(provision.CodeAliasTaken)
	env.RegisterDelayedCallback(func() { update(env, workflows.UpdateCorrect, alias("green-hill"), nil) }, time.Hour)
	env.RegisterDelayedCallback(func() { update(env, workflows.UpdateCancel, operator, nil) }, 2*time.Hour)
	env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
	require.Equal(t, provision.Cancelled, w.closing.State)
	require.Len(t, w.restores, 1)
	require.Equal(t, "JANE ROE", w.restores[0].Written.FullName, "whose a value is, is judged by what AWS showed")
}

func TestAStopIsNeverLost(t *testing.T) {
	t.Parallel()
	for _, during := range []string{"OpenOrder", "ClaimAccount", "RejectAccount", "CompareWithJournal"} {
		t.Run(during, func(t *testing.T) {
			t.Parallel()
			env, w := setup(t)
			w.stock = 2
			w.fail["EnableSignIn"] = refused(provision.CodeAccountSuspended) // the first account is undone and rejected
			accepted := false
			w.after[during] = func() {
				delete(w.after, during)
				update(env, workflows.UpdateCancel, operator, func(err error) { accepted = err == nil })
			}
			env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
			require.True(t, accepted)
			require.True(t, temporal.IsCanceledError(env.GetWorkflowError()), "%v", env.GetWorkflowError())
			require.Equal(t, provision.Cancelled, w.closing.State)
		})
	}
}

func TestASwapOfAnAccountThatIsBeingUndoneIsRefused(t *testing.T) {
	t.Parallel()
	env, w := setup(t)
	w.stock = 2
	w.fail["EnableSignIn"] = refused(provision.CodeAccountSuspended)
	var refusal error
	w.after["RejectAccount"] = func() {
		delete(w.fail, "EnableSignIn")
		update(env, workflows.UpdateSwap, operator, func(err error) { refusal = err })
	}
	env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, string(provision.CodeNotAsked), codeOf(t, refusal))
	require.Equal(t, "000000000002", w.result.AccountID)
}

func TestACancelOfAnOrderThatIsBeingUndoneIsRefused(t *testing.T) {
	t.Parallel()
	env, w := setup(t)
	w.fail["EnableSignIn"] = refused(provision.CodeAccountsExhausted)
	var refusal error
	w.after["CompareWithJournal"] = func() { update(env, workflows.UpdateCancel, operator, func(err error) { refusal = err }) }
	env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
	require.Equal(t, string(provision.CodeTooLate), codeOf(t, refusal))
	require.Equal(t, provision.Failed, w.closing.State)
}

// A question that was cut off because another step found the account unusable must not haunt the next account.
func TestAQuestionEndsWithItsAccount(t *testing.T) {
	t.Parallel()
	env, w := setup(t)
	w.stock = 2
	w.fail["SetContacts"] = refused(provision.CodeContactRefused)
	w.after["RequireAction"] = func() { w.fail["SetUpReport"] = refused(provision.CodeAccountSuspended) }
	w.fail["SetUpReport"] = temporal.NewApplicationError("throttled", string(provision.CodeThrottled))
	w.after["RejectAccount"] = func() {
		delete(w.fail, "SetUpReport")
		delete(w.after, "RequireAction")
	}
	env.RegisterDelayedCallback(func() {
		delete(w.fail, "SetContacts")
		update(env, workflows.UpdateRetry, operator, func(err error) { require.NoError(t, err) })
	}, time.Hour)
	env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, "000000000002", w.result.AccountID)
	require.Len(t, w.rejected, 1)
	require.Contains(t, w.calls, "Resume")
}

// A retry reads the pool's settings again: an operator has corrected them, so the old ones must not be used.
func TestARetryReadsThePoolsSettingsAgain(t *testing.T) {
	t.Parallel()
	for name, act := range map[string]func(*testsuite.TestWorkflowEnvironment){
		"retry": func(env *testsuite.TestWorkflowEnvironment) { update(env, workflows.UpdateRetry, operator, nil) },
		"swap":  func(env *testsuite.TestWorkflowEnvironment) { update(env, workflows.UpdateSwap, operator, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env, w := setup(t)
			w.stock = 2
			w.fail["SetUpReport"] = refused(provision.CodePoolSettingsRefused)
			mended := settings
			mended.ReportRegion = "eu-west-1"
			env.RegisterDelayedCallback(func() {
				w.settings = mended
				delete(w.fail, "SetUpReport")
				act(env)
			}, time.Hour)
			env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
			require.NoError(t, env.GetWorkflowError())
			require.Len(t, w.reports, 2)
			require.Contains(t, w.calls[slices.Index(w.calls, "RereadSettings"):], "SetUpReport", "the step begins again after that")
		})
	}
}

func TestAnUndoHasAnHour(t *testing.T) {
	t.Parallel()
	env, w := setup(t)
	w.fail["EnableSignIn"] = refused(provision.CodeAccountsExhausted)
	began := time.Time{}
	w.after["BeginUndo"] = func() { began = env.Now() }
	env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
	require.Error(t, env.GetWorkflowError())
	require.WithinDuration(t, began.Add(time.Hour), w.until[0], time.Minute)
}

// When an operator ends an undo that AWS refuses, what is not undone by then is left, and named.
func TestAnOperatorEndsAnUndo(t *testing.T) {
	t.Parallel()
	env, w := setup(t)
	w.fail["EnableSignIn"] = refused(provision.CodeAccountsExhausted)
	w.fail["RestoreContacts"] = refused(provision.CodePermissionMissing)
	w.after["RestoreContacts"] = func() {
		delete(w.after, "RestoreContacts")
		ended := make(chan error)
		update(env, workflows.UpdateEndUndo, operator, func(err error) { ended <- err })
		require.NoError(t, <-ended)
	}
	w.left = []string{"the primary contact still has the ordered name"}
	var early error
	w.after["Inspect"] = func() { update(env, workflows.UpdateEndUndo, operator, func(err error) { early = err }) }
	env.ExecuteWorkflow(workflows.ProvisionOrder, theOrder)
	require.Equal(t, string(provision.CodeNotAsked), codeOf(t, early), "nothing was being undone")
	require.Equal(t, provision.Failed, w.closing.State)
	require.Equal(t, w.left[0], w.closing.Leftovers[0])
	require.Equal(t, []string{w.left[0], "contacts: refused for the test"}, w.closing.Leftovers)
	require.Equal(t, []time.Time{{}}, w.until, "the other parts are undone all the same, but without patience")
	require.Contains(t, w.calls, "RemoveReport")
	require.Len(t, w.actions, 1)
	require.Equal(t, workflows.UpdateEndUndo, w.actions[0].Action)
	require.Equal(t, operator.Reason, w.actions[0].By.Reason)
}
