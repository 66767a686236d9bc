package activities

import (
	"context"
	"fmt"
	"slices"
	"time"

	"quartermaster/internal/awscloud"
	"quartermaster/internal/provision"
)

// CompareWithJournal reads the account and compares it with the journal. What it returns is what an operator has to look at
// before the account may be used again; nothing means that the account is as it was. Because reads lag behind, it wants
// two equal looks in a row, and looks for a while when something seems to be left.
func (a *Activities) CompareWithJournal(ctx context.Context, in Restore) (verified Verification, err error) {
	err = a.step(ctx, in.Assignment, provision.StepCompare, func(ctx context.Context) error {
		s, err := a.openSession(ctx, in.Assignment)
		if err != nil {
			return err
		}
		deadline := time.Now().Add(a.Timings.VisibleFor)
		before, err := in.leftovers(ctx, s)
		if err != nil {
			return err
		}
		for n := 0; ; n++ {
			if err := a.pause(ctx, n); err != nil {
				return err
			}
			now, err := in.leftovers(ctx, s)
			if err != nil {
				return err
			}
			if slices.Equal(before, now) && (len(now) == 0 || time.Now().After(deadline)) {
				verified.Leftovers = now
				return nil
			}
			before = now
		}
	})
	return verified, err
}

// leftovers says in plain sentences, without personal data, how the account differs from what it was.
func (r Restore) leftovers(ctx context.Context, s *awscloud.Session) (left []string, err error) {
	for _, look := range []func(context.Context, *awscloud.Session) ([]string, error){r.userLeft, r.aliasLeft, r.contactsLeft, r.reportLeft} {
		more, err := look(ctx, s)
		if err != nil {
			return nil, err
		}
		left = append(left, more...)
	}
	return left, nil
}

func (r Restore) userLeft(ctx context.Context, s *awscloud.Session) ([]string, error) {
	user, err := findUser(ctx, s, r.Request.IAMUserName)
	if err != nil || user == nil || !r.owns(userTags(user)) {
		return nil, err
	}
	left := []string{"the IAM user of the order still exists"}
	profile, err := loginProfile(ctx, s, r.Request.IAMUserName)
	if profile != nil {
		left = append(left, "the IAM user of the order can still sign in")
	}
	return left, err
}

func (r Restore) aliasLeft(ctx context.Context, s *awscloud.Session) ([]string, error) {
	current, err := currentAlias(ctx, s)
	switch {
	case err != nil || current == r.Journal.Alias:
		return nil, err
	case current == r.Request.AccountAlias:
		return []string{"the account still has the ordered alias"}, nil
	case current == "":
		return []string{"the account has no alias, but had one before the order"}, nil
	}
	return []string{"the account has an alias that is neither the earlier one nor the ordered one"}, nil
}

func (r Restore) contactsLeft(ctx context.Context, s *awscloud.Session) (left []string, err error) {
	found, err := r.contactsFound(ctx, s)
	if err != nil {
		return nil, err
	}
	if found.primaryLeft {
		left = append(left, "the primary contact still has the ordered name")
	}
	for _, kind := range found.alternatesLeft {
		left = append(left, fmt.Sprintf("the %s contact is still the ordered one", kind))
	}
	return append(left, found.notes...), nil
}

func (r Restore) reportLeft(ctx context.Context, s *awscloud.Session) (left []string, err error) {
	if r.Request.UseExistingCUR != "" {
		return nil, nil
	}
	tried, elsewhere := r.underSettings(r.EarlierSettings), 0
	for _, w := range tried {
		report, err := madeReport(ctx, s, w)
		if err != nil {
			return nil, err
		}
		if report != nil && report.ours {
			left = append(left, fmt.Sprintf("the cost report %s of the order still exists", w.reportName()))
		}
		bucket, err := lookAtBucket(ctx, s, w)
		switch bucket {
		case bucketOurs:
			left = append(left, fmt.Sprintf("the bucket %s of the order still exists", w.bucketName()))
		case bucketDenied: // not proven clean
			left = append(left, bucketUnknown(w))
		}
		if err != nil {
			return nil, err
		}
		if bucket == bucketElsewhere {
			elsewhere++
		}
	}
	if elsewhere == len(tried) {
		left = append(left, fmt.Sprintf("the bucket %s exists in a region that the settings of the pool did not name", r.bucketName()))
	}
	slices.Sort(left)
	return slices.Compact(left), nil
}
