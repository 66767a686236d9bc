package activities

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"quartermaster/internal/awscloud"
	"quartermaster/internal/provision"
)

// SetAlias gives the account the ordered alias. AWS replaces an earlier alias silently; the journal keeps it.
// Source: AWS Account Management Reference Guide, "Create an account alias".
func (a *Activities) SetAlias(ctx context.Context, in Work) (struct{}, error) {
	return struct{}{}, a.step(ctx, in, provision.StepAlias, func(ctx context.Context, w Assignment) error {
		s, err := a.openSession(ctx, w)
		if err != nil {
			return err
		}
		alias := w.Request.AccountAlias
		_, err = s.IAM.CreateAccountAlias(ctx, &iam.CreateAccountAliasInput{AccountAlias: aws.String(alias)})
		switch {
		case awscloud.IsAlreadyExists(err):
			return a.aliasIsOurs(ctx, s, alias, err)
		case err != nil:
			return err
		}
		seen, err := a.waitStable(ctx, aliasIs(s, alias))
		if err == nil && !seen {
			err = notYet("the account's alias")
		}
		return err
	})
}

// aliasIsOurs decides what "already exists" means: another account has the alias, or this account has it, from an earlier attempt or from
// before the order. Only a retry can have had a predecessor whose reply was lost a moment ago, so only a retry waits for long.
func (a *Activities) aliasIsOurs(ctx context.Context, s *awscloud.Session, alias string, refusal error) error {
	ours, err := a.waitVisible(ctx, a.lostReplyTime(ctx), aliasIs(s, alias))
	if err != nil || ours {
		return err
	}
	return withCause(&provision.Failure{Code: provision.CodeAliasTaken, Step: provision.StepAlias, Field: "aws_account_alias", Value: alias,
		Reason: "another AWS account has this alias, and aliases are unique across all accounts: choose another alias"}, refusal)
}

// RestoreAlias is the input of the activity RestoreAlias.
type RestoreAlias struct {
	Work
	Alias string `json:"alias,omitempty"` // the account's alias before the order; empty: it had none
}

// RestoreAlias gives the account its earlier alias back. It first deletes the ordered alias: the deletion succeeds only if the account
// still has that alias, while a list may show an old state.
func (a *Activities) RestoreAlias(ctx context.Context, in RestoreAlias) (Undone, error) {
	return a.undo(ctx, in.Work, provision.StepAlias, func(ctx context.Context, w Assignment) ([]string, error) {
		ordered, earlier := w.Request.AccountAlias, in.Alias
		if ordered == earlier {
			return nil, nil
		}
		s, err := a.openSession(ctx, w)
		if err != nil {
			return nil, err
		}
		var deleted bool
		err = a.retryWhile(ctx, busy, func(ctx context.Context) error {
			_, err := s.IAM.DeleteAccountAlias(ctx, &iam.DeleteAccountAliasInput{AccountAlias: aws.String(ordered)})
			deleted = err == nil
			return awscloud.IgnoreNotFound(err)
		})
		if err != nil {
			return nil, err
		}
		current := ""
		if !deleted {
			if current, err = currentAlias(ctx, s); err != nil {
				return nil, err
			}
		}
		switch current {
		case earlier:
			return nil, nil
		case "", ordered: // deleted by this attempt, or by one whose reply was lost; a list may still show it
			return nil, a.giveAliasBack(ctx, s, earlier)
		}
		return []string{"someone else changed the account's alias: it was left as it is"}, nil
	})
}

// giveAliasBack sets the earlier alias. Any AWS account could take it after it was replaced.
func (a *Activities) giveAliasBack(ctx context.Context, s *awscloud.Session, earlier string) error {
	if earlier == "" {
		return nil
	}
	err := a.retryWhile(ctx, busy, func(ctx context.Context) error {
		_, err := s.IAM.CreateAccountAlias(ctx, &iam.CreateAccountAliasInput{AccountAlias: aws.String(earlier)})
		return err
	})
	if !awscloud.IsAlreadyExists(err) {
		return err
	}
	back, lookErr := a.waitStable(ctx, aliasIs(s, earlier))
	if lookErr != nil || back {
		return lookErr
	}
	return withCause(&provision.Failure{Code: provision.CodeResourceNotOurs, Step: provision.StepAlias,
		Reason: "another AWS account took the earlier alias while the order held the account, so it cannot be restored: set another " +
			"alias, if the account needs one"}, err)
}

// currentAlias returns the account's alias; empty when it has none. An account has at most one, but it may be on a later page.
func currentAlias(ctx context.Context, s *awscloud.Session) (string, error) {
	pages := iam.NewListAccountAliasesPaginator(s.IAM, &iam.ListAccountAliasesInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return "", err
		}
		if len(page.AccountAliases) > 0 {
			return page.AccountAliases[0], nil
		}
	}
	return "", nil
}

// aliasIs returns a read that checks whether the account has the alias.
func aliasIs(s *awscloud.Session, alias string) func(context.Context) (bool, error) {
	return func(ctx context.Context) (bool, error) {
		current, err := currentAlias(ctx, s)
		return err == nil && current == alias, err
	}
}
