package activities

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"quartermaster/internal/awscloud"
	"quartermaster/internal/provision"
)

// A check finds out one thing about an account. It returns what it found, for people. An error is the reason why the account cannot
// be given to an order.
type check struct {
	name provision.CheckName
	look func(ctx context.Context) (found string, err error)
}

// errSkipped is the error of a check that the role does not permit, and that is optional.
var errSkipped = errors.New("the role does not permit the check, which is optional")

// checkAccount makes the checks one after the other, until one fails. It returns the error of that one.
func (a *Activities) checkAccount(ctx context.Context, account provision.Account) (checks []provision.AccountCheck, failed error) {
	for _, c := range a.checksOf(account) {
		if failed != nil {
			checks = append(checks, provision.AccountCheck{Name: c.name, Outcome: provision.CheckNotReached})
			continue
		}
		found, err := c.look(ctx)
		at := time.Now().UTC().Truncate(time.Millisecond)
		made := provision.AccountCheck{Name: c.name, Outcome: provision.CheckPassed, Found: found, At: &at}
		switch {
		case errors.Is(err, errSkipped):
			made.Outcome, made.Found = provision.CheckSkipped, err.Error()
		case err != nil:
			made.Outcome, failed = provision.CheckFailed, err
		}
		checks = append(checks, made)
	}
	return checks, failed
}

// checksOf returns the checks of a verification. Those that work in the account use the session that the second one opens.
func (a *Activities) checksOf(account provision.Account) []check {
	var (
		s       *awscloud.Session
		opened  error // of another account, so the role could be assumed
		journal provision.Journal
	)
	return []check{
		{provision.CheckNotProtected, func(ctx context.Context) (string, error) { return "", a.refuseProtected(ctx, account) }},
		{provision.CheckRole, func(ctx context.Context) (_ string, err error) {
			s, err = a.Cloud.OpenFreshSession(ctx, account, "verify-"+strconv.FormatInt(time.Now().UnixMilli(), 36))
			if _, elsewhere := errors.AsType[*awscloud.IdentityError](err); elsewhere {
				opened, err = err, nil
			}
			return "assumed " + account.RoleARN, err
		}},
		{provision.CheckIdentity, func(context.Context) (string, error) { return "the role is in account " + account.ID, opened }},
		{provision.CheckExternalID, func(ctx context.Context) (string, error) {
			assumable, err := a.Cloud.AssumableWithoutExternalID(ctx, account)
			if assumable {
				err = &provision.Failure{Code: provision.CodeExternalIDNotDemanded,
					Reason: "the role can be assumed without the external id: add a condition on sts:ExternalId to its trust policy"}
			}
			return "AWS refuses the role without the external id", err
		}},
		{provision.CheckState, func(ctx context.Context) (string, error) { return stateOf(ctx, s) }},
		{provision.CheckReadable, func(ctx context.Context) (_ string, err error) {
			journal, err = readJournal(ctx, s)
			return fmt.Sprintf("alias %s, %d alternate contacts", orNone(journal.Alias), len(journal.AlternateContacts)), err
		}},
		{provision.CheckContact, func(context.Context) (string, error) { return "", checkContact(journal.Contact) }},
		{provision.CheckClean, func(ctx context.Context) (string, error) {
			left, err := userUnderOurPath(ctx, s)
			if left {
				err = &provision.Failure{Code: provision.CodeAccountNotClean,
					Reason: fmt.Sprintf("the account has an IAM user under the path %s, which an order created: delete the user and whatever "+
						"else the order left in the account", userPath)}
			}
			return "no IAM user under the path " + userPath, err
		}},
	}
}

func orNone(text string) string {
	if text == "" {
		return "(none)"
	}
	return text
}
