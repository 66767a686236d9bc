package activities

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/account"
	accounttypes "github.com/aws/aws-sdk-go-v2/service/account/types"

	"quartermaster/internal/awscloud"
	"quartermaster/internal/provision"
)

// SetContacts is the input of the activity SetContacts.
type SetContacts struct {
	Work
	// Before are the account's contacts before the order, as far as an order can replace them. AWS may still show them for a while after
	// the write.
	Before provision.WrittenContacts `json:"before"`
}

// contactsToSet is an order's write of its contacts.
type contactsToSet struct {
	Assignment
	replaced []provision.WrittenContacts // what the write replaces: the contacts before the order, and those before each correction
}

func (in SetContacts) toSet(w Assignment) contactsToSet {
	replaced := []provision.WrittenContacts{in.Before}
	for _, request := range w.EarlierRequests {
		written := provision.WrittenContacts{FullName: request.ContactName}
		if request.AlternateContact != nil {
			for _, kind := range w.alternateTypes() {
				setAlternate(&written, kind, *request.AlternateContact)
			}
		}
		replaced = append(replaced, written)
	}
	return contactsToSet{w, replaced}
}

// SetContacts writes the ordered name into the primary contact, whose other parts stay as they are, and the ordered alternate contact
// into the types that the pool's settings name. Repeating a write is harmless, so a write whose outcome is unknown is repeated.
// SetContacts returns what AWS shows afterwards: AWS may store another form than it received, and an undo must recognize it.
func (a *Activities) SetContacts(ctx context.Context, in SetContacts) (written provision.WrittenContacts, err error) {
	err = a.step(ctx, in.Work, provision.StepContacts, func(ctx context.Context, w Assignment) error {
		s, err := a.openSession(ctx, w)
		if err != nil {
			return err
		}
		if err := a.writeContacts(ctx, s, w); err != nil {
			return err
		}
		written, err = a.contactsWritten(ctx, s, in.toSet(w))
		return err
	})
	return written, err
}

// writeContacts writes the name into the primary contact, and then the alternate contacts in parallel.
func (a *Activities) writeContacts(ctx context.Context, s *awscloud.Session, w Assignment) error {
	// AWS replaces the whole contact, and a part that is not in the write is lost. So every attempt reads it first.
	current, err := readContact(ctx, s)
	if err != nil {
		return err
	}
	if current.FullName != w.Request.ContactName {
		ordered := current
		ordered.FullName = w.Request.ContactName
		if err := a.writeContact(ctx, s, ordered); err != nil {
			return a.contactRefused(ctx, s, current, err)
		}
	}
	var writes []func(context.Context) error
	for _, kind := range w.alternateTypes() {
		writes = append(writes, func(ctx context.Context) error {
			return alternateRefused(a.writeAlternate(ctx, s, kind, *w.Request.AlternateContact))
		})
	}
	return inParallel(ctx, writes...)
}

// contactsWritten waits until AWS shows what was written, in any form. A form that Quartermaster does not recognize must stay for a
// while, because it could be the result of an earlier write.
func (a *Activities) contactsWritten(
	ctx context.Context, s *awscloud.Session, w contactsToSet,
) (shown provision.WrittenContacts, err error) {
	var before provision.WrittenContacts
	since := time.Now()
	seen, err := a.waitShown(ctx, func(ctx context.Context) (bool, error) {
		if shown, err = w.contactsShown(ctx, s); err != nil {
			return false, err
		}
		if !sameWritten(shown, before) {
			before, since = shown, time.Now()
		}
		state := w.judge(shown)
		return state == asOrdered || state == inAnotherForm && time.Since(since) >= a.Timings.absentFor(), nil
	})
	if err == nil && !seen {
		err = notYet("the account's contacts")
	}
	return shown, err
}

// contactsShown reads the contacts that the order writes.
func (w Assignment) contactsShown(ctx context.Context, s *awscloud.Session) (provision.WrittenContacts, error) {
	current, alternates, err := readContacts(ctx, s, w.alternateTypes())
	return provision.WrittenContacts{FullName: current.FullName, Alternates: alternates}, err
}

func setAlternate(contacts *provision.WrittenContacts, kind string, c provision.AlternateContact) {
	if contacts.Alternates == nil {
		contacts.Alternates = map[string]provision.AlternateContact{}
	}
	contacts.Alternates[kind] = c
}

// alternateTypes are the types of the alternate contacts that the order writes.
func (w Assignment) alternateTypes() []string {
	if w.Request.AlternateContact == nil {
		return nil
	}
	return w.Settings.AlternateContactTypes
}

// RestoreContacts is the input of the activity RestoreContacts.
type RestoreContacts struct {
	Work
	Journal provision.Journal `json:"journal"`
	// Written is what SetContacts returned; nil when its answer was lost.
	Written *provision.WrittenContacts `json:"written,omitempty"`
}

// journaled is an assignment with what distinguishes the order's changes of the account from those of others.
type journaled struct {
	Assignment
	journal provision.Journal
	written *provision.WrittenContacts
}

// RestoreContacts puts the contacts of the journal back, value by value. It restores a value that the order wrote, skips one that
// equals the journal's, and leaves any other value alone, because someone else has changed it.
func (a *Activities) RestoreContacts(ctx context.Context, in RestoreContacts) (Undone, error) {
	return a.undo(ctx, in.Work, provision.StepContacts, func(ctx context.Context, w Assignment) ([]string, error) {
		s, err := a.openSession(ctx, w)
		if err != nil {
			return nil, err
		}
		// A write whose reply was lost may not be visible yet, and no write of this API could answer the question: wait for it.
		account := journaled{w, in.Journal, in.Written}
		var found contactsFound
		if _, err := a.waitVisible(ctx, a.Timings.absentFor(), func(ctx context.Context) (bool, error) {
			found, err = account.contactsFound(ctx, s)
			return found.ours(), err
		}); err != nil {
			return nil, err
		}
		missing, err := a.putContactsBack(ctx, s, account, found)
		if err != nil {
			return nil, err
		}
		if found.ours() {
			gone, err := a.waitGone(ctx, func(ctx context.Context) (bool, error) {
				now, err := account.contactsFound(ctx, s)
				return now.left(), err
			})
			if err == nil && !gone {
				err = notYetAfter(missing, "the account's earlier contacts")
			}
			if err != nil {
				return nil, err
			}
		}
		return found.notes, nil
	})
}

// putContactsBack writes the earlier contacts. missing is AWS's answer when a contact to delete does not exist: the contact counts
// as deleted, unless AWS keeps showing it.
func (a *Activities) putContactsBack(
	ctx context.Context, s *awscloud.Session, w journaled, found contactsFound,
) (missing, err error) {
	if found.primary != nil {
		if err := a.writeContact(ctx, s, *found.primary); err != nil {
			return nil, earlierContactRefused(err, "primary")
		}
	}
	for _, kind := range found.alternates {
		if earlier := w.earlierAlternate(kind); earlier != nil {
			err = a.writeAlternate(ctx, s, kind, *earlier)
		} else if err = a.deleteAlternate(ctx, s, kind); awscloud.IsNotFound(err) {
			missing, err = err, nil
		}
		if err != nil {
			return nil, earlierContactRefused(err, kind)
		}
	}
	return missing, nil
}

// allContactTypes are the types of alternate contacts. An account has at most one of each.
func allContactTypes() (types []string) {
	for _, kind := range accounttypes.AlternateContactType("").Values() {
		types = append(types, string(kind))
	}
	return types
}

// readContacts reads the primary contact and the alternate contacts of the given types. The map is nil when there are none.
func readContacts(ctx context.Context, s *awscloud.Session, types []string) (
	primary provision.Contact, alternates map[string]provision.AlternateContact, err error,
) {
	found := make([]*provision.AlternateContact, len(types))
	reads := []func(context.Context) error{func(ctx context.Context) (err error) {
		primary, err = readContact(ctx, s)
		return err
	}}
	for i, kind := range types {
		reads = append(reads, func(ctx context.Context) (err error) {
			found[i], err = readAlternate(ctx, s, kind)
			return err
		})
	}
	if err = inParallel(ctx, reads...); err != nil {
		return primary, nil, err
	}
	for i, kind := range types {
		if found[i] == nil {
			continue
		}
		if alternates == nil {
			alternates = map[string]provision.AlternateContact{}
		}
		alternates[kind] = *found[i]
	}
	return primary, alternates, nil
}

// readContact reads the primary contact.
func readContact(ctx context.Context, s *awscloud.Session) (provision.Contact, error) {
	out, err := s.Account.GetContactInformation(ctx, &account.GetContactInformationInput{})
	if err != nil || out.ContactInformation == nil {
		return provision.Contact{}, err
	}
	c := out.ContactInformation
	return provision.Contact{
		FullName: aws.ToString(c.FullName), AddressLine1: aws.ToString(c.AddressLine1), AddressLine2: aws.ToString(c.AddressLine2),
		AddressLine3: aws.ToString(c.AddressLine3), City: aws.ToString(c.City), StateOrRegion: aws.ToString(c.StateOrRegion),
		DistrictOrCounty: aws.ToString(c.DistrictOrCounty), PostalCode: aws.ToString(c.PostalCode), CountryCode: aws.ToString(c.CountryCode),
		PhoneNumber: aws.ToString(c.PhoneNumber), CompanyName: aws.ToString(c.CompanyName), WebsiteURL: aws.ToString(c.WebsiteUrl),
	}, nil
}

func (a *Activities) writeContact(ctx context.Context, s *awscloud.Session, c provision.Contact) error {
	in := &account.PutContactInformationInput{ContactInformation: &accounttypes.ContactInformation{
		FullName: given(c.FullName), AddressLine1: given(c.AddressLine1), AddressLine2: given(c.AddressLine2),
		AddressLine3: given(c.AddressLine3), City: given(c.City), StateOrRegion: given(c.StateOrRegion),
		DistrictOrCounty: given(c.DistrictOrCounty), PostalCode: given(c.PostalCode), CountryCode: given(c.CountryCode),
		PhoneNumber: given(c.PhoneNumber), CompanyName: given(c.CompanyName), WebsiteUrl: given(c.WebsiteURL),
	}}
	return a.whileThrottled(ctx, func(ctx context.Context) error {
		_, err := s.Account.PutContactInformation(ctx, in)
		return err
	})
}

// whileThrottled repeats a write of a contact that AWS throttled, for a short time: AWS may not accept writes of several contacts at
// once.
func (a *Activities) whileThrottled(ctx context.Context, write func(context.Context) error) error {
	return a.retryWhileFor(ctx, min(a.Timings.VisibleFor, throttleDelay), awscloud.IsThrottled, write)
}

// given returns nil for an empty string: AWS refuses empty values but allows absent ones.
func given(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// readAlternate reads one alternate contact; nil when there is none.
func readAlternate(ctx context.Context, s *awscloud.Session, kind string) (*provision.AlternateContact, error) {
	out, err := s.Account.GetAlternateContact(ctx, &account.GetAlternateContactInput{
		AlternateContactType: accounttypes.AlternateContactType(kind)})
	if awscloud.IsNotFound(err) || (err == nil && out.AlternateContact == nil) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	c := out.AlternateContact
	return &provision.AlternateContact{Name: aws.ToString(c.Name), Email: aws.ToString(c.EmailAddress), Phone: aws.ToString(c.PhoneNumber),
		Title: aws.ToString(c.Title)}, nil
}

func (a *Activities) writeAlternate(ctx context.Context, s *awscloud.Session, kind string, c provision.AlternateContact) error {
	return a.whileThrottled(ctx, func(ctx context.Context) error {
		_, err := s.Account.PutAlternateContact(ctx, &account.PutAlternateContactInput{
			AlternateContactType: accounttypes.AlternateContactType(kind), Name: aws.String(c.Name), EmailAddress: aws.String(c.Email),
			PhoneNumber: aws.String(c.Phone), Title: aws.String(c.Title)})
		return err
	})
}

func (a *Activities) deleteAlternate(ctx context.Context, s *awscloud.Session, kind string) error {
	return a.whileThrottled(ctx, func(ctx context.Context) error {
		_, err := s.Account.DeleteAlternateContact(ctx, &account.DeleteAlternateContactInput{
			AlternateContactType: accounttypes.AlternateContactType(kind)})
		return err
	})
}

// refusedFields returns the fields that AWS names in a ValidationException, in lower case.
func refusedFields(err error) (names []string) {
	if refused, ok := errors.AsType[*accounttypes.ValidationException](err); ok {
		for _, field := range refused.FieldList {
			names = append(names, strings.ToLower(aws.ToString(field.Name)))
		}
	}
	return names
}

// contactRefused returns the reason why AWS refuses the primary contact. Only the name comes from the order; the other parts are the
// account's own, and may break rules that are newer than they are. If AWS names no field, contactRefused writes the account's own
// contact back unchanged: if AWS refuses that too, the name is not the reason.
func (a *Activities) contactRefused(ctx context.Context, s *awscloud.Session, own provision.Contact, refusal error) error {
	if !awscloud.IsValidation(refusal) {
		return refusal
	}
	fields := refusedFields(refusal)
	for _, field := range fields {
		if !strings.HasSuffix(field, "fullname") {
			return withCause(&provision.Failure{Code: provision.CodeAccountContactInvalid,
				Reason: "AWS refuses the account's own contact data (" + field +
					"): correct the primary contact in the account, then retry the order"}, refusal)
		}
	}
	if len(fields) == 0 {
		err := a.writeContact(ctx, s, own)
		switch {
		case awscloud.IsValidation(err):
			return withCause(&provision.Failure{Code: provision.CodeAccountContactInvalid,
				Reason: "AWS refuses the account's own primary contact even unchanged, and does not name the wrong part: correct the " +
					"contact in the account, beginning with its phone number, then retry the order"}, err)
		case err != nil:
			return err
		}
	}
	return withCause(&provision.Failure{Code: provision.CodeContactRefused, Field: "aws_contact_name",
		Reason: "AWS refuses the primary contact with this name: correct the name"}, refusal)
}

// alternateRefused returns the reason why AWS refuses the alternate contact, which comes from the order as a whole.
func alternateRefused(err error) error {
	if !awscloud.IsValidation(err) {
		return err
	}
	field := "aws_alternate_contact"
	for _, name := range refusedFields(err) {
		switch {
		case strings.HasSuffix(name, "emailaddress"):
			field += ".email"
		case strings.HasSuffix(name, "phonenumber"):
			field += ".phone"
		case strings.HasSuffix(name, "title"):
			field += ".title"
		case strings.HasSuffix(name, "name"):
			field += ".name"
		default:
			continue
		}
		break
	}
	return withCause(&provision.Failure{Code: provision.CodeContactRefused, Field: field,
		Reason: "AWS refuses the alternate contact: correct this field, or the whole contact if it names no field"}, err)
}

// earlierContactRefused returns the reason why a contact cannot be put back. An operator must do it in the console.
func earlierContactRefused(err error, which string) error {
	if !awscloud.IsValidation(err) {
		return err
	}
	return withCause(&provision.Failure{Code: provision.CodeAccountContactInvalid,
		Reason: "AWS refuses the " + which + " contact that the account had before the order: restore it by hand in the account"}, err)
}
