package activities

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"go.temporal.io/sdk/activity"

	"quartermaster/internal/awscloud"
	"quartermaster/internal/provision"
)

// DueAccounts lists at most limit accounts whose verification is due.
func (a *Activities) DueAccounts(ctx context.Context, limit int) ([]string, error) {
	ids, err := a.Verifications.Due(ctx, limit)
	return ids, conclude(ctx, err, provision.StepInspect)
}

// ApplyVerifications draws the consequences.
func (a *Activities) ApplyVerifications(ctx context.Context, results []provision.VerificationResult) (Woken, error) {
	woken, err := a.Verifications.Apply(ctx, results)
	return Woken{woken}, conclude(ctx, err, provision.StepInspect)
}

// VerifyAccount looks whether an account can be given to an order; it changes nothing in it. What passes by itself is an
// error and tried again; everything else is the answer.
func (a *Activities) VerifyAccount(ctx context.Context, id string) (provision.VerificationResult, error) {
	answer := provision.VerificationResult{AccountID: id}
	if a.VerifyPace != nil {
		if err := a.VerifyPace.Wait(ctx); err != nil {
			return answer, conclude(ctx, err, provision.StepInspect)
		}
	}
	account, now, err := a.Verifications.Account(ctx, id)
	if errors.Is(err, provision.ErrNotFound) {
		return answer, nil // it is gone, or an order holds it: nobody looked
	}
	if err == nil {
		answer.LookedAt, answer.Version = &now, account.Version
		err = a.lookAt(ctx, account)
	}
	if err = conclude(ctx, err, provision.StepInspect); err == nil {
		return answer, nil
	}
	failure, _ := failureOf(err)
	switch failure.Code.Kind() {
	case provision.KindAccount, provision.KindPermission, provision.KindInput:
		answer.Failure = &failure
		return answer, nil
	}
	// Nothing was written, so there is nothing that AWS could show later: what it answers now is the answer. Where it is busy, a few
	// attempts tell.
	if failure.Code == provision.CodeNotYetVisible || failure.Code == provision.CodeAWSNotReady && activity.GetInfo(ctx).Attempt >= busyAttempts {
		failure.Code = provision.CodeAWSRefused
		failure.Reason = strings.TrimSuffix(failure.Reason, tryAgain) + ": look into the account"
		answer.Failure = &failure
		return answer, nil
	}
	return answer, err
}

// busyAttempts is how often a verification asks AWS before "not ready" counts as an answer.
const busyAttempts = 3

// lookAt returns the first reason why the account cannot be given to an order.
func (a *Activities) lookAt(ctx context.Context, account provision.Account) error {
	if err := a.refuseProtected(ctx, account); err != nil {
		return err
	}
	s, err := a.Cloud.OpenFreshSession(ctx, account, "verify-"+strconv.FormatInt(time.Now().UnixMilli(), 36))
	if err != nil {
		return err
	}
	open, err := a.Cloud.AssumableWithoutExternalID(ctx, account)
	if err != nil {
		return err
	}
	if open {
		return &provision.Failure{Code: provision.CodeExternalIDNotDemanded,
			Reason: "the role can be assumed without the external id: its trust policy must demand it by sts:ExternalId"}
	}
	if err := checkState(ctx, s); err != nil {
		return err
	}
	journal, err := readJournal(ctx, s)
	if err != nil {
		return err
	}
	if err := checkContact(journal.Contact); err != nil {
		return err
	}
	left, err := userUnderOurPath(ctx, s)
	if err != nil {
		return err
	}
	if left {
		return &provision.Failure{Code: provision.CodeAccountNotClean,
			Reason: fmt.Sprintf("the account has a user under the path %s, which belongs to an order: remove what the order left there", userPath)}
	}
	return nil
}

// userUnderOurPath tells whether there is any user under our path. A page without users may be followed by one with some.
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
