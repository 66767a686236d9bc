package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

func TestAnOutageInvalidatesNothingAlthoughMuchPassedShortlyBefore(t *testing.T) {
	t.Parallel()
	const accounts = 20
	for name, fresh := range map[string]int{"some": 12, "all but one": accounts - 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := setupVerifier(t)
			v.add(1, accounts)
			v.sweep(nil)
			all := make([]int, accounts)
			for i := range all {
				all[i] = i + 1
			}
			// The last ones are due; the others passed ten minutes ago.
			_, err := v.db.ExecContext(v.ctx, `
UPDATE accounts SET checked_at = now() - CASE WHEN id::bigint <= $1 THEN interval '10 minutes' ELSE interval '1 day' END,
                    verify_at = CASE WHEN id::bigint = $2 THEN now() ELSE now() + interval '1 day' END`, fresh, accounts)
			require.NoError(t, err)
			for range 5 {
				v.sweep(dead, all...)
				v.later(provision.VerifyAgainAfter + time.Second)
			}
			for _, i := range all {
				require.Equal(t, provision.AccountReady, v.account(i).Status, i)
			}
			require.Equal(t, []string{"pool.verification_suspended"}, v.events())
		})
	}
}

// TestNoAccountIsCondemnedAlone: while no other account of the pool can be looked at, one that fails may fail for AWS's sake.
func TestNoAccountIsCondemnedAlone(t *testing.T) {
	t.Parallel()
	v := setupVerifier(t)
	v.add(1, 3)
	v.sweep(nil)
	down := &provision.Failure{Code: provision.CodeAWSUnavailable, Reason: "AWS did not answer"}
	judge := func(others func(provision.VerificationResult) provision.VerificationResult) {
		for {
			due, err := v.store.Verifications.Due(v.ctx, 10)
			require.NoError(t, err)
			if len(due) == 0 {
				return
			}
			var results []provision.VerificationResult
			for _, id := range due {
				r := v.look(id)
				if id == account(2, "").ID {
					r.Failure = dead
				} else {
					r = others(r)
				}
				results = append(results, r)
			}
			_, err = v.store.Verifications.Apply(v.ctx, results)
			require.NoError(t, err)
		}
	}
	for range 4 {
		v.later(2 * provision.VerifyEvery)
		judge(func(r provision.VerificationResult) provision.VerificationResult {
			return provision.VerificationResult{AccountID: r.AccountID, Failure: down, Inconclusive: true}
		})
		require.Equal(t, provision.AccountReady, v.account(2).Status)
	}
	for range 2 {
		v.later(provision.VerifyAgainAfter + time.Second)
		judge(func(r provision.VerificationResult) provision.VerificationResult { return r })
	}
	require.Equal(t, provision.AccountInvalid, v.account(2).Status)
	require.Equal(t, provision.AccountReady, v.account(1).Status)
}

func TestTwoDeadAccountsOfManyAreInvalid(t *testing.T) {
	t.Parallel()
	v := setupVerifier(t)
	v.add(1, 12)
	v.sweep(nil)
	for range 2 {
		_, err := v.db.ExecContext(v.ctx, `UPDATE accounts SET verify_at = now() WHERE id IN ('000000000004', '000000000009')`)
		require.NoError(t, err)
		v.sweep(dead, 4, 9)
		v.later(provision.VerifyAgainAfter + time.Second)
	}
	for i := 1; i <= 12; i++ {
		require.Equal(t, i == 4 || i == 9, v.account(i).Status == provision.AccountInvalid, i)
	}
	require.Empty(t, v.events())
}

// TestAnAccountThatWasNotLookedAtIsNotVerified: while a sweep wanted to look, an order held the account. It comes back
// Ready and due, and the sweep's empty answer must not count for it.
func TestAnAccountThatWasNotLookedAtIsNotVerified(t *testing.T) {
	t.Parallel()
	v := setupVerifier(t)
	v.add(1, 1)
	id := account(1, "").ID
	_, err := v.store.Verifications.Apply(v.ctx, []provision.VerificationResult{{AccountID: id}})
	require.NoError(t, err)
	require.Equal(t, provision.AccountInvalid, v.account(1).Status)
	require.Nil(t, v.account(1).VerifiedAt)
}

// TestALookAtAnotherRoleDoesNotCount: an edit that was begun before the look and committed after it has an earlier time.
func TestALookAtAnotherRoleDoesNotCount(t *testing.T) {
	t.Parallel()
	v := setupVerifier(t)
	v.add(1, 1)
	v.sweep(nil)
	id, role := account(1, "").ID, "arn:aws:iam::"+account(1, "").ID+":role/other"
	_, err := v.db.ExecContext(v.ctx, `UPDATE accounts SET verify_at = now() WHERE id = $1`, id)
	require.NoError(t, err)
	look := v.look(id)
	_, _, err = v.store.Accounts.Update(v.ctx, "key op", "acme", id, 0, provision.AccountUpdate{RoleARN: &role})
	require.NoError(t, err)
	_, err = v.db.ExecContext(v.ctx, `UPDATE accounts SET verify_at = $2 WHERE id = $1`, id, look.LookedAt.Add(-time.Second))
	require.NoError(t, err)
	_, err = v.store.Verifications.Apply(v.ctx, []provision.VerificationResult{look})
	require.NoError(t, err)
	require.Equal(t, provision.AccountInvalid, v.account(1).Status, "the other role was not looked at")
	v.sweep(nil)
	require.Equal(t, provision.AccountReady, v.account(1).Status)
}
