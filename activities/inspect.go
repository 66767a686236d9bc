package activities

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/account"
	accounttypes "github.com/aws/aws-sdk-go-v2/service/account/types"

	"quartermaster/internal/awscloud"
	"quartermaster/internal/provision"
)

// Inspection is the result of Inspect.
type Inspection struct {
	Journal        provision.Journal `json:"journal"`
	ExistingReport *provision.Report `json:"existing_report,omitempty"` // the report that the order names
	// Warnings are what the result of the order must say about the account. None of them prevents the order.
	Warnings []string `json:"warnings,omitempty"`
}

// Inspect checks whether the order can be carried out in the account, before anything is changed. It reports what makes the account
// unusable before what the customer could correct, because another account may do.
func (a *Activities) Inspect(ctx context.Context, in Work) (found Inspection, err error) {
	err = a.stepSeeing(ctx, in, provision.StepInspect, func(ctx context.Context, w Assignment) (*provision.AccountSeen, error) {
		s, err := a.openSession(ctx, w)
		if err != nil {
			return nil, err
		}
		err = inParallel(ctx,
			func(ctx context.Context) error { return checkState(ctx, s) },
			func(ctx context.Context) (err error) {
				if found.Journal, err = readJournal(ctx, s); err == nil {
					err = checkContact(found.Journal.Contact)
				}
				return err
			},
			func(ctx context.Context) error { return checkUserName(ctx, s, w) },
			func(ctx context.Context) (err error) {
				found.Warnings, err = checkFirstSignIn(ctx, s, w)
				return err
			},
			func(ctx context.Context) (err error) {
				if w.Request.UseExistingCUR == "" {
					return checkReportRegion(w)
				}
				found.ExistingReport, err = findExistingReport(ctx, s, w)
				return err
			})
		return new(found.Journal.Seen()), err
	})
	return found, err
}

// checkUserName returns a failure when the account already has a user of this name, in any letter case, that is not the order's. Names
// are unique regardless of case, but GetUser may find only the exact name, so checkUserName reads the list.
func checkUserName(ctx context.Context, s *awscloud.Session, w Assignment) error {
	name, err := userLike(ctx, s, w.Request.IAMUserName)
	switch {
	case err != nil || name == "":
		return err
	case name != w.Request.IAMUserName:
		return userNameTaken(w)
	}
	user, err := findUser(ctx, s, name)
	if err == nil && user != nil && !w.owns(userTags(user)) {
		err = userNameTaken(w)
	}
	return err
}

// checkState returns a failure when AWS has suspended or closed the account. The check is optional: a role without the permission
// for it passes.
func checkState(ctx context.Context, s *awscloud.Session) error {
	_, err := stateOf(ctx, s)
	if errors.Is(err, errSkipped) {
		return nil
	}
	return err
}

// stateOf says in which state the account is. It returns errSkipped if the role may not read it.
func stateOf(ctx context.Context, s *awscloud.Session) (string, error) {
	out, err := s.Account.GetAccountInformation(ctx, &account.GetAccountInformationInput{})
	if awscloud.IsAccessDenied(err) {
		return "", errSkipped
	}
	if err != nil {
		return "", err
	}
	switch state := out.AccountState; state {
	case "":
		return "AWS does not report the account's state", nil
	case accounttypes.AccountStateActive:
		return "the account is ACTIVE", nil
	default:
		return "", &provision.Failure{Code: provision.CodeAccountSuspended,
			Reason: fmt.Sprintf("the account's state is %s, but only an ACTIVE account can be used: contact AWS Support", state)}
	}
}

// readJournal reads everything in the account that an order may replace.
func readJournal(ctx context.Context, s *awscloud.Session) (journal provision.Journal, err error) {
	err = inParallel(ctx,
		func(ctx context.Context) (err error) {
			journal.Alias, err = currentAlias(ctx, s)
			return err
		},
		func(ctx context.Context) (err error) {
			journal.Contact, journal.AlternateContacts, err = readContacts(ctx, s, allContactTypes())
			if awscloud.IsNotFound(err) {
				err = withCause(&provision.Failure{Code: provision.CodeAccountContactInvalid,
					Reason: "the account has no primary contact: enter one in the account"}, err)
			}
			return err
		})
	return journal, err
}

var contactPhone = regexp.MustCompile(`^[+][\s0-9()-]+$`)

// countriesWithState are the countries for which AWS requires a state or region.
var countriesWithState = []string{"US", "CA", "GB", "DE", "JP", "IN", "BR"}

// checkContact returns a failure when AWS would refuse to write the account's own primary contact back.
func checkContact(c provision.Contact) error {
	problem := contactProblem(c)
	if problem == "" {
		return nil
	}
	return &provision.Failure{Code: provision.CodeAccountContactInvalid,
		Reason: "AWS would refuse to change the name in the account's primary contact, because " + problem +
			": correct the contact in the account"}
}

// contactProblem checks the account's own primary contact by the rules that AWS applies to writes today. Old accounts may hold data
// that breaks them. It returns the name of the wrong part, never its content, or "" when all parts are fine.
// Source: AWS Account Management API Reference, ContactInformation.
func contactProblem(c provision.Contact) string {
	for _, part := range []struct {
		name, value string
		least, most int
	}{
		{"FullName", c.FullName, 1, 50}, {"AddressLine1", c.AddressLine1, 1, 60}, {"AddressLine2", c.AddressLine2, 0, 60},
		{"AddressLine3", c.AddressLine3, 0, 60}, {"City", c.City, 1, 50}, {"StateOrRegion", c.StateOrRegion, 0, 50},
		{"DistrictOrCounty", c.DistrictOrCounty, 0, 50}, {"PostalCode", c.PostalCode, 1, 20}, {"CountryCode", c.CountryCode, 2, 2},
		{"PhoneNumber", c.PhoneNumber, 1, 20}, {"CompanyName", c.CompanyName, 0, 50}, {"WebsiteUrl", c.WebsiteURL, 0, 256},
	} {
		if n := utf8.RuneCountInString(part.value); n < part.least || n > part.most {
			return fmt.Sprintf("%s has %d characters (AWS allows %d to %d)", part.name, n, part.least, part.most)
		}
	}
	if !contactPhone.MatchString(c.PhoneNumber) {
		return "PhoneNumber is not a + followed by digits, spaces, hyphens and parentheses"
	}
	if c.StateOrRegion == "" && slices.Contains(countriesWithState, strings.ToUpper(c.CountryCode)) {
		return "StateOrRegion is missing, which AWS requires for the country"
	}
	return ""
}
