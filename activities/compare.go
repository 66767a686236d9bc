package activities

import (
	"context"
	"fmt"
	"slices"
	"time"

	"quartermaster/internal/awscloud"
	"quartermaster/internal/provision"
)

// CompareWithJournal is the input of the activity CompareWithJournal.
type CompareWithJournal struct {
	Work
	Journal provision.Journal          `json:"journal"`
	Written *provision.WrittenContacts `json:"written,omitempty"` // as in RestoreContacts
}

// Comparison is the result of CompareWithJournal.
type Comparison struct {
	Leftovers []string `json:"leftovers,omitempty"` // how the account differs from the journal; empty when nothing of the order is left
}

// CompareWithJournal compares the account with the journal. It returns the differences, which an operator must resolve before the
// account can be used again. Because of propagation, it requires two equal comparisons in a row, and repeats them for a while
// when something seems to be left.
func (a *Activities) CompareWithJournal(ctx context.Context, in CompareWithJournal) (compared Comparison, err error) {
	err = a.step(ctx, in.Work, provision.StepCompare, func(ctx context.Context, w Assignment) error {
		s, err := a.openSession(ctx, w)
		if err != nil {
			return err
		}
		account := journaled{w, in.Journal, in.Written}
		deadline := time.Now().Add(a.Timings.VisibleFor)
		before, err := account.leftovers(ctx, s)
		if err != nil {
			return err
		}
		for n := 0; ; n++ {
			if err := a.pause(ctx, unhurried+n); err != nil {
				return err
			}
			now, err := account.leftovers(ctx, s)
			if err != nil {
				return err
			}
			if slices.Equal(before, now) && (len(now) == 0 || time.Now().After(deadline)) {
				compared.Leftovers = now
				return nil
			}
			before = now
		}
	})
	return compared, err
}

// leftovers returns sentences, without personal data, about how the account differs from the journal.
func (w journaled) leftovers(ctx context.Context, s *awscloud.Session) ([]string, error) {
	looks := []func(context.Context, *awscloud.Session) ([]string, error){w.userLeft, w.aliasLeft, w.contactsLeft, w.reportLeft}
	left, reads := make([][]string, len(looks)), make([]func(context.Context) error, len(looks))
	for i, look := range looks {
		reads[i] = func(ctx context.Context) (err error) {
			left[i], err = look(ctx, s)
			return err
		}
	}
	err := inParallel(ctx, reads...)
	return slices.Concat(left...), err
}

func (w journaled) userLeft(ctx context.Context, s *awscloud.Session) ([]string, error) {
	user, err := findUser(ctx, s, w.Request.IAMUserName)
	if err != nil || user == nil || !w.owns(userTags(user)) {
		return nil, err
	}
	left := []string{"the IAM user of the order still exists"}
	profile, err := loginProfile(ctx, s, w.Request.IAMUserName)
	if profile != nil {
		left = append(left, "the IAM user of the order can still sign in")
	}
	return left, err
}

func (w journaled) aliasLeft(ctx context.Context, s *awscloud.Session) ([]string, error) {
	current, err := currentAlias(ctx, s)
	switch {
	case err != nil || current == w.journal.Alias:
		return nil, err
	case current == w.Request.AccountAlias:
		return []string{"the account still has the ordered alias"}, nil
	case current == "":
		return []string{"the account has no alias, but had one before the order"}, nil
	}
	return []string{"the account has an alias that is neither the earlier one nor the ordered one"}, nil
}

func (w journaled) contactsLeft(ctx context.Context, s *awscloud.Session) (left []string, err error) {
	found, err := w.contactsFound(ctx, s)
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

func (w journaled) reportLeft(ctx context.Context, s *awscloud.Session) (left []string, err error) {
	if w.Request.UseExistingCUR != "" {
		return nil, nil
	}
	variants, elsewhere := w.underSettings(), 0
	for _, w := range variants {
		report, err := createdReport(ctx, s, w)
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
		case bucketDenied: // it may be left
			left = append(left, bucketUnknown(w))
		}
		if err != nil {
			return nil, err
		}
		if bucket == bucketElsewhere {
			elsewhere++
		}
	}
	if elsewhere == len(variants) {
		left = append(left, fmt.Sprintf("the bucket %s exists in a region that the settings of the pool did not name", w.bucketName()))
	}
	slices.Sort(left)
	return slices.Compact(left), nil
}
