package webhooks

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Policy says where webhooks may go.
type Policy struct {
	// Ports that may be called. Default: 443.
	Ports []int
	// Loopback also allows addresses of this machine, by http too and on every port: for trying things out.
	Loopback bool
}

func (p Policy) ports() []int {
	if len(p.Ports) == 0 {
		return []int{443}
	}
	return p.Ports
}

// ErrForbidden reports that webhooks may not be sent to an address.
var ErrForbidden = errors.New("webhooks may not go there")

// Reserved networks. Sources: the IANA special-purpose address registries for IPv4 and IPv6.
var (
	reserved4 = prefixes("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
		"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
		"203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4")
	// Of IPv6 only the global unicast space is allowed at all; within it are these. 6to4 (2002::/16) and Teredo (2001::/32) carry IPv4
	// addresses inside, as NAT64 (64:ff9b::/96) does outside of it.
	global6   = netip.MustParsePrefix("2000::/3")
	reserved6 = prefixes("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)

func prefixes(texts ...string) (all []netip.Prefix) {
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// CheckAddress refuses every address that is not a public one. Errors wrap ErrForbidden.
func (p Policy) CheckAddress(at netip.AddrPort) error {
	ip := at.Addr()
	if ip.Zone() != "" {
		return fmt.Errorf("%s has a zone: %w", ip, ErrForbidden)
	}
	ip = ip.Unmap() // ::ffff:10.0.0.1 is 10.0.0.1
	if p.Loopback && ip.IsLoopback() {
		return nil
	}
	within := func(prefix netip.Prefix) bool { return prefix.Contains(ip) }
	switch {
	case !ip.IsValid(), ip.Is4() && slices.ContainsFunc(reserved4, within),
		ip.Is6() && (!global6.Contains(ip) || slices.ContainsFunc(reserved6, within)):
		return fmt.Errorf("%s is not a public address: %w", ip, ErrForbidden)
	case !slices.Contains(p.ports(), int(at.Port())):
		return fmt.Errorf("port %d is not one of %v: %w", at.Port(), p.ports(), ErrForbidden)
	}
	return nil
}

// CheckURL returns what is wrong with the text of a webhook's URL, and what to write instead; "" when nothing is wrong. The addresses
// that its name resolves to are checked at each call, because they may change.
func (p Policy) CheckURL(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Hostname() == "" || len(text) > 2048 || u.Opaque != "" {
		return "not a URL: write it as https://host/path, at most 2048 characters"
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	ip, notIP := netip.ParseAddr(host)
	local := host == "localhost" || strings.HasSuffix(host, ".localhost") || notIP == nil && ip.Unmap().IsLoopback()
	port := 443
	if u.Port() != "" {
		if port, err = strconv.Atoi(u.Port()); err != nil || port < 1 || port > 65535 {
			return "the port is not a number from 1 to 65535: leave it out"
		}
	}
	switch {
	case u.User != nil:
		return "a URL without a user and password in it: the signature of each message proves that Quartermaster sent it"
	case u.Fragment != "":
		return "a URL without a fragment: the part after # is never sent"
	case p.Loopback && local && (u.Scheme == "https" || u.Scheme == "http"):
		return ""
	case u.Scheme != "https":
		return "use https://"
	case local:
		return fmt.Sprintf("%q is this machine: use the public name of the receiver", host)
	case notIP == nil:
		if err := p.CheckAddress(netip.AddrPortFrom(ip, uint16(port))); err != nil {
			return "use the public name of the receiver: " + err.Error()
		}
	case !strings.Contains(host, ".") || isNumber(host[strings.LastIndex(host, ".")+1:]):
		// Some resolvers take 2130706433 and 0x7f.1 for addresses.
		return fmt.Sprintf("%q is not a public name: use one such as hooks.example.com", host)
	case !slices.Contains(p.ports(), port):
		return fmt.Sprintf("port %d is not called: use one of %v", port, p.ports())
	}
	return ""
}

func isNumber(label string) bool {
	_, err := strconv.ParseUint(label, 0, 64)
	return err == nil
}

// Times of an attempt.
const (
	attemptTimeout = 15 * time.Second
	dialTimeout    = 5 * time.Second
)

// control refuses a connection at the last moment: address is what will really be called, after every resolution of names.
func (p Policy) control(_ context.Context, network, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil || network != "tcp4" && network != "tcp6" {
		return fmt.Errorf("%s %s: %w", network, address, ErrForbidden)
	}
	return p.CheckAddress(at)
}

// Client returns an HTTP client that connects only to public addresses, follows no redirects and uses no proxy, because a proxy would
// resolve names itself.
func (p Policy) Client() *http.Client { return p.client(nil) }

func (p Policy) client(resolver *net.Resolver) *http.Client {
	dialer := &net.Dialer{Timeout: dialTimeout, ControlContext: p.control, Resolver: resolver}
	return &http.Client{
		Timeout:       attemptTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                  nil,
			DialContext:            dialer.DialContext,
			ForceAttemptHTTP2:      true,
			TLSHandshakeTimeout:    dialTimeout,
			ResponseHeaderTimeout:  attemptTimeout,
			MaxResponseHeaderBytes: 16 << 10,
			DisableKeepAlives:      true, // every attempt checks the address that the name resolves to at that time
		},
	}
}
