package activities

import (
	"context"
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"go.temporal.io/sdk/activity"

	"quartermaster/internal/awscloud"
	"quartermaster/internal/provision"
)

// DueAccounts returns at most limit accounts whose verification is due.
func (a *Activities) DueAccounts(ctx context.Context, limit int) ([]string, error) {
	ids, err := a.Verifications.Due(ctx, limit)
	return ids, conclude(ctx, err, provision.StepInspect)
}

// ApplyVerifications records the results of verifications and changes the statuses of the accounts.
func (a *Activities) ApplyVerifications(ctx context.Context, results []provision.VerificationResult) (Woken, error) {
	woken, err := a.Verifications.Apply(ctx, results)
	return Woken{woken}, conclude(ctx, err, provision.StepInspect)
}

// VerifyAccount checks whether an account can be given to an order. It changes nothing in the account. A passing problem is returned as an
// error, which Temporal retries; any other problem is the result.
func (a *Activities) VerifyAccount(ctx context.Context, id string) (provision.VerificationResult, error) {
	answer := provision.VerificationResult{AccountID: id}
	if a.VerifyPace != nil {
		if err := a.VerifyPace.Wait(ctx); err != nil {
			return answer, conclude(ctx, err, provision.StepInspect)
		}
	}
	account, now, err := a.Verifications.Account(ctx, id)
	if errors.Is(err, provision.ErrNotFound) {
		return answer, nil // it was deleted, or an order holds it: there is no result
	}
	if err == nil {
		answer.LookedAt, answer.Version = &now, account.Version
		answer.Checks, err = a.checkAccount(ctx, account)
	}
	if err = conclude(ctx, err, provision.StepInspect); err == nil {
		return answer, nil
	}
	failure, _ := failureOf(err)
	switch failure.Code.Kind() {
	case provision.KindAccount, provision.KindPermission, provision.KindInput:
		answer.Fail(failure)
		return answer, nil
	}
	// Nothing was written, so AWS will not show anything later: "not yet visible" is final, and "not ready" is final after a few attempts.
	if failure.Code == provision.CodeNotYetVisible || failure.Code == provision.CodeAWSNotReady &&
		activity.GetInfo(ctx).Attempt >= busyAttempts {
		failure.Code = provision.CodeAWSRefused
		failure.Reason = strings.TrimSuffix(failure.Reason, tryAgain) + ": check the account"
		answer.Fail(failure)
		return answer, nil
	}
	return answer, err
}

// busyAttempts is how many attempts a verification makes before "not ready" is its result.
const busyAttempts = 3

// userUnderOurPath reports whether there is a user under our path. A page without users may be followed by one that has some.
// Source: IAM API Reference, ListUsers, IsTruncated.
func userUnderOurPath(ctx context.Context, s *awscloud.Session) (bool, error) {
	pages := iam.NewListUsersPaginator(s.IAM, &iam.ListUsersInput{PathPrefix: aws.String(userPath)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return false, err
		}
		if len(page.Users) > 0 {
			return true, nil
		}
	}
	return false, nil
}
