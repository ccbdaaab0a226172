package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const two = `{"kind":"listing","listing":"L","units":2}` + "\n"

// verdict is what is said of a listing of two units with this history.
func verdict(t *testing.T, lines ...string) (int, string) {
	t.Helper()
	folder := t.TempDir()
	path := filepath.Join(folder, "history.jsonl")
	if err := os.WriteFile(path, []byte(two+strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return run(path, folder, 20*time.Second), folder
}

// line is a step of listing L; more is the rest of its JSON.
func line(kind, order, outcome, more string) string {
	return `{"kind":"` + kind + `","listing":"L","order":"` + order + `","outcome":"` + outcome + `",` + more + `}`
}

func TestVerdicts(t *testing.T) {
	reserved := line("reserve", "a", "ok", `"units":2,"call":1,"returned":2`)
	cases := map[string]struct {
		lines []string
		want  int
	}{
		"an order, paid": {[]string{reserved, line("pay", "a", "ok", `"charge":"x","call":3,"returned":4`)}, linearizable},
		"an oversale": {[]string{
			reserved, line("reserve", "b", "ok", `"units":1,"call":3,"returned":4`),
		}, illegal},
		"sold out while there is enough": {[]string{
			line("reserve", "", "refused", `"units":2,"call":1,"returned":2`),
		}, illegal},
		"units that a cancellation gave back": {[]string{
			reserved, line("cancel", "a", "ok", `"call":3,"returned":4`),
			line("reserve", "b", "ok", `"units":2,"call":5,"returned":6`),
		}, linearizable},
		"units that the deadline gave back": {[]string{
			reserved, line("expire", "a", "ok", `"call":3,"returned":9`),
			line("reserve", "b", "ok", `"units":2,"call":5,"returned":6`),
		}, linearizable},
		"units given back before the deadline": {[]string{
			reserved, line("expire", "a", "ok", `"call":7,"returned":9`),
			line("reserve", "b", "ok", `"units":2,"call":5,"returned":6`),
		}, illegal},
		"a lost answer that explains a refusal": {[]string{
			line("reserve", "unknown-1", "unknown", `"units":2,"call":1`),
			line("expire", "unknown-1", "ok", `"call":20`),
			line("reserve", "", "refused", `"units":1,"call":5,"returned":6`),
		}, linearizable},
		"a lost answer that explains nothing any more": {[]string{
			line("reserve", "unknown-1", "unknown", `"units":2,"call":7`),
			line("expire", "unknown-1", "ok", `"call":20`),
			line("reserve", "", "refused", `"units":1,"call":5,"returned":6`),
		}, illegal},
		"a lost order that was never made": {[]string{
			line("reserve", "unknown-1", "unknown", `"units":2,"call":1`),
			line("expire", "unknown-1", "ok", `"call":20`),
			line("reserve", "b", "ok", `"units":2,"call":5,"returned":6`),
		}, linearizable},
		"a later deadline that passed before an earlier one": {[]string{
			line("reserve", "a", "ok", `"units":1,"call":1,"returned":2`),
			line("reserve", "b", "ok", `"units":1,"call":1,"returned":2`),
			line("expire", "a", "ok", `"call":3,"returned":9`), line("expire", "b", "ok", `"call":4,"returned":9`),
			line("pay", "b", "refused", `"call":5,"returned":6`), line("pay", "a", "declined", `"call":7,"returned":8`),
		}, illegal},
		"deadlines that passed in a row": {[]string{
			line("reserve", "a", "ok", `"units":1,"call":1,"returned":2`),
			line("reserve", "b", "ok", `"units":1,"call":1,"returned":2`),
			line("expire", "b", "ok", `"call":4,"returned":9`), line("expire", "a", "ok", `"call":3,"returned":9`),
			line("pay", "a", "refused", `"call":5,"returned":6`), line("pay", "b", "declined", `"call":7,"returned":8`),
		}, linearizable},
		"paid and cancelled": {[]string{
			reserved, line("pay", "a", "ok", `"charge":"x","call":3,"returned":6`),
			line("cancel", "a", "ok", `"call":3,"returned":6`),
		}, illegal},
		"refused to who holds": {[]string{
			reserved, line("pay", "a", "refused", `"call":3,"returned":4`),
		}, illegal},
		"a payment whose answer was lost, then refused as done": {[]string{
			reserved, line("pay", "a", "unknown", `"call":3`), line("pay", "a", "refused", `"call":5,"returned":6`),
		}, linearizable},
		"one charge told twice": {[]string{
			reserved, line("pay", "a", "ok", `"charge":"x","call":3,"returned":4`),
			line("pay", "a", "ok", `"charge":"x","call":5,"returned":6`),
		}, linearizable},
		"two charges": {[]string{
			reserved, line("pay", "a", "ok", `"charge":"x","call":3,"returned":4`),
			line("pay", "a", "ok", `"charge":"y","call":5,"returned":6`),
		}, illegal},
		"late money for units that are free": {[]string{
			reserved, line("expire", "a", "ok", `"call":3,"returned":4`),
			line("pay", "a", "ok", `"charge":"x","call":5,"returned":6`),
		}, linearizable},
		"late money for units that are another's": {[]string{
			reserved, line("expire", "a", "ok", `"call":3,"returned":4`),
			line("reserve", "b", "ok", `"units":1,"call":5,"returned":6`),
			line("pay", "a", "ok", `"charge":"x","call":7,"returned":8`),
		}, illegal},
		"cancelled after the house ended it": {[]string{
			reserved, line("expire", "a", "ok", `"call":3,"returned":4`),
			line("cancel", "a", "refused", `"call":5,"returned":6`),
			line("cancel", "a", "ok", `"call":7,"returned":8`),
		}, illegal},
		"edited while somebody holds": {[]string{
			reserved, line("edit", "", "ok", `"call":3,"returned":4`),
		}, illegal},
		"locked while nobody holds": {[]string{
			line("edit", "", "refused", `"call":0,"returned":0`), reserved,
		}, illegal},
		"an edit that tells what is sold": {[]string{
			reserved, line("pay", "a", "ok", `"charge":"x","call":3,"returned":4`),
			line("edit", "", "ok", `"sold":2,"call":5,"returned":6`),
		}, linearizable},
		"an edit that tells something else": {[]string{
			reserved, line("pay", "a", "ok", `"charge":"x","call":3,"returned":4`),
			line("edit", "", "ok", `"sold":1,"call":5,"returned":6`),
		}, illegal},
	}
	for name, one := range cases {
		t.Run(name, func(t *testing.T) {
			if found, _ := verdict(t, one.lines...); found != one.want {
				t.Errorf("verdict %d instead of %d", found, one.want)
			}
		})
	}
}

func TestWhatIsIllegalIsDrawn(t *testing.T) {
	found, folder := verdict(t,
		line("reserve", "a", "ok", `"units":2,"call":1,"returned":2`),
		line("reserve", "b", "ok", `"units":1,"call":3,"returned":4`))
	picture, err := os.ReadFile(filepath.Join(folder, "L.html"))
	if found != illegal || err != nil || !strings.Contains(string(picture), "reserve b 1: ok") {
		t.Errorf("verdict %d, picture of %d bytes, %v", found, len(picture), err)
	}
}

func TestWhatCannotBeReadIsNoVerdict(t *testing.T) {
	if found, _ := verdict(t, `{"kind":`); found != unreadable {
		t.Errorf("verdict %d", found)
	}
	if found, _ := verdict(t, `{"kind":"pay","listing":"another"}`); found != unreadable {
		t.Errorf("verdict %d", found)
	}
}
