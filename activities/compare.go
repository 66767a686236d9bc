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
	Assignment
	Journal provision.Journal `json:"journal"`
	// EarlierRequests and Written are as in RestoreContacts.
	EarlierRequests []provision.Request        `json:"earlier_requests,omitempty"`
	Written         *provision.WrittenContacts `json:"written,omitempty"`
	// EarlierSettings are as in SetUpReport.
	EarlierSettings []provision.PoolSettings `json:"earlier_settings,omitempty"`
}

// Comparison is the result of CompareWithJournal.
type Comparison struct {
	Leftovers []string `json:"leftovers,omitempty"` // how the account differs from the journal; empty when nothing of the order is left
}

// CompareWithJournal compares the account with the journal. It returns the differences, which an operator must resolve before the
// account can be used again. Because of propagation, it requires two equal comparisons in a row, and repeats them for a while
// when something seems to be left.
func (a *Activities) CompareWithJournal(ctx context.Context, in CompareWithJournal) (compared Comparison, err error) {
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
			if err := a.pause(ctx, unhurried+n); err != nil {
				return err
			}
			now, err := in.leftovers(ctx, s)
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
func (in CompareWithJournal) leftovers(ctx context.Context, s *awscloud.Session) ([]string, error) {
	looks := []func(context.Context, *awscloud.Session) ([]string, error){in.userLeft, in.aliasLeft, in.contactsLeft, in.reportLeft}
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

func (in CompareWithJournal) userLeft(ctx context.Context, s *awscloud.Session) ([]string, error) {
	user, err := findUser(ctx, s, in.Request.IAMUserName)
	if err != nil || user == nil || !in.owns(userTags(user)) {
		return nil, err
	}
	left := []string{"the IAM user of the order still exists"}
	profile, err := loginProfile(ctx, s, in.Request.IAMUserName)
	if profile != nil {
		left = append(left, "the IAM user of the order can still sign in")
	}
	return left, err
}

func (in CompareWithJournal) aliasLeft(ctx context.Context, s *awscloud.Session) ([]string, error) {
	current, err := currentAlias(ctx, s)
	switch {
	case err != nil || current == in.Journal.Alias:
		return nil, err
	case current == in.Request.AccountAlias:
		return []string{"the account still has the ordered alias"}, nil
	case current == "":
		return []string{"the account has no alias, but had one before the order"}, nil
	}
	return []string{"the account has an alias that is neither the earlier one nor the ordered one"}, nil
}

func (in CompareWithJournal) contactsLeft(ctx context.Context, s *awscloud.Session) (left []string, err error) {
	found, err := RestoreContacts{in.Assignment, in.Journal, in.EarlierRequests, in.Written}.contactsFound(ctx, s)
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

func (in CompareWithJournal) reportLeft(ctx context.Context, s *awscloud.Session) (left []string, err error) {
	if in.Request.UseExistingCUR != "" {
		return nil, nil
	}
	variants, elsewhere := in.underSettings(in.EarlierSettings), 0
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
		left = append(left, fmt.Sprintf("the bucket %s exists in a region that the settings of the pool did not name", in.bucketName()))
	}
	slices.Sort(left)
	return slices.Compact(left), nil
}
