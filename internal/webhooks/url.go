package webhooks

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// maxURL is how many characters a URL may have.
const maxURL = 2048

// label is one of the words of a DNS name. Underscores are common in the names of receivers, and certificates with a wildcard cover
// them.
var label = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$`)

// CheckURL returns what is wrong with the URL of a webhook or a callback, and what to write instead; "" when nothing is wrong. The
// addresses that its name resolves to are checked at each call, because they may change.
func (p Policy) CheckURL(text string) string {
	if len(text) > maxURL {
		return fmt.Sprintf("the URL has %d characters: use at most %d", len(text), maxURL)
	}
	if wrong := checkCharacters(text); wrong != "" {
		return wrong
	}
	u, err := url.Parse(text)
	if broken, is := errors.AsType[*url.Error](err); is {
		return fmt.Sprintf("not a URL (%s): write it as https://host/path", broken.Err)
	}
	if u.Opaque != "" || u.Hostname() == "" {
		return "not a URL: write it as https://host/path"
	}
	port := 443
	if u.Port() != "" {
		if port, err = strconv.Atoi(u.Port()); err != nil || port < 1 || port > 65535 {
			return "the port is not a number from 1 to 65535: leave it out"
		}
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	ip, notIP := netip.ParseAddr(host)
	local := host == "localhost" || strings.HasSuffix(host, ".localhost") || notIP == nil && ip.Unmap().IsLoopback()
	switch {
	case u.User != nil:
		return "the URL has a user or a password in it: leave them out; the signature of each message proves that Quartermaster sent it"
	case p.Loopback && local && (u.Scheme == "https" || u.Scheme == "http"):
		return ""
	case u.Scheme != "https":
		return fmt.Sprintf("the URL begins with %q: use https://", u.Scheme+"://")
	case local:
		return fmt.Sprintf("%q is this machine: use the public name of the receiver", host)
	case notIP == nil:
		if err := p.CheckAddress(netip.AddrPortFrom(ip, uint16(port))); err != nil {
			return "use the public name of the receiver: " + err.Error()
		}
		return ""
	case !slices.Contains(p.ports(), port):
		return fmt.Sprintf("port %d is not called: use one of %v", port, p.ports())
	}
	return checkName(host)
}

// checkCharacters refuses the characters that RFC 3986 does not allow in a URL, and a fragment. Some programs accept them, and each
// sends something else.
func checkCharacters(text string) string {
	for i, c := range []rune(text) {
		switch {
		case c == '#':
			return "the URL has a fragment: leave out # and what is behind it, because it is never sent"
		case c > '~':
			return fmt.Sprintf("%q at character %d is not ASCII: %s", c, i+1, inASCII(text, c))
		case c <= ' ' || strings.ContainsRune(`"<>\^`+"`{|}", c):
			return fmt.Sprintf("%q at character %d is not allowed in a URL: write it as %%%02X, or leave it out", c, i+1, c)
		}
	}
	return ""
}

// inASCII says how to write a character that is not ASCII: a name in its own encoding, anything else in percent-encoding.
func inASCII(text string, c rune) string {
	if u, err := url.Parse(text); err == nil && strings.ContainsRune(u.Hostname(), c) {
		if name, err := idna.Lookup.ToASCII(u.Hostname()); err == nil {
			return fmt.Sprintf("write the name as %q", name)
		}
		return "use a name of letters, digits and hyphens"
	}
	return fmt.Sprintf("write it as %s, or leave it out", url.PathEscape(string(c)))
}

// checkName checks the name of a receiver.
func checkName(host string) string {
	labels := strings.Split(host, ".")
	last := labels[len(labels)-1]
	if len(labels) == 1 || isNumber(last) { // some resolvers take 2130706433 and 0x7f.1 for addresses
		return fmt.Sprintf("%q is not a public name: use one such as hooks.example.com", host)
	}
	if wrong := slices.IndexFunc(labels, func(text string) bool { return !label.MatchString(text) }); wrong >= 0 {
		return fmt.Sprintf("%q in the name %q is not a DNS label: use 1 to 63 letters, digits, hyphens inside, and underscores",
			labels[wrong], host)
	}
	if len(host) > 253 {
		return fmt.Sprintf("the name has %d characters: DNS allows at most 253", len(host))
	}
	return ""
}

func isNumber(label string) bool {
	_, err := strconv.ParseUint(label, 0, 64)
	return err == nil
}
