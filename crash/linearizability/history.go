package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"sort"

	"github.com/anishathalye/porcupine"
)

// step is a line of the history, as crash/linear.py writes it.
type step struct {
	Kind     string
	Listing  string
	Client   int
	Call     int64
	Returned *int64 // nil: open-ended
	Outcome  string
	Order    string
	Units    int
	Charge   string
	Sold     int
}

// history is what happened to one listing.
type history struct {
	listing    string
	quantity   int
	orders     map[string]int // their numbers
	units      []int          // by order
	charges    []map[string]byte
	operations []porcupine.Operation
}

// longest is the longest line: far more than a step with the longest ids.
const longest = 1 << 16

// read gives the histories by listing, in the order the listings were made.
func read(input io.Reader) ([]*history, error) {
	var all []*history
	byListing := map[string]*history{}
	lines := bufio.NewScanner(input)
	lines.Buffer(make([]byte, longest), longest)
	var steps []step
	for number := 1; lines.Scan(); number++ {
		var one step
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		if one.Kind == "listing" {
			made := &history{listing: one.Listing, quantity: one.Units, orders: map[string]int{}}
			byListing[one.Listing] = made
			all = append(all, made)
		} else {
			steps = append(steps, one)
		}
	}
	for _, one := range steps {
		of, known := byListing[one.Listing]
		if !known {
			return nil, fmt.Errorf("listing %q was never made", one.Listing)
		}
		of.note(one)
	}
	for _, one := range all {
		one.rank()
	}
	return all, lines.Err()
}

// rank puts the deadlines in a row: one clock, the database's, lets them pass. Without that the search would try every
// order of all that fell due while the house was down.
func (h *history) rank() {
	var due []*porcupine.Operation
	for number := range h.operations {
		one := &h.operations[number]
		if input := one.Input.(operation); input.kind == "expire" && !input.unknown() {
			due = append(due, one)
		}
	}
	sort.SliceStable(due, func(a, b int) bool {
		return due[a].Call < due[b].Call || due[a].Call == due[b].Call && due[a].Return < due[b].Return
	})
	for rank, one := range due {
		input := one.Input.(operation)
		input.rank = rank
		one.Input = input
	}
}

// note adds an operation. Its input is what was asked, its output what was answered; both are made comparable numbers,
// so that the state stays small.
func (h *history) note(one step) {
	input := operation{kind: one.Kind, order: h.number(one.Order), units: one.Units, name: one.Order}
	output := answer{outcome: one.Outcome, sold: one.Sold}
	if one.Kind == "reserve" && input.order >= 0 {
		h.units[input.order] = one.Units
	}
	if one.Charge != "" {
		output.charge = h.charge(input.order, one.Charge)
	}
	made := porcupine.Operation{ClientId: one.Client, Input: input, Call: one.Call, Output: output, Return: math.MaxInt64}
	if one.Returned != nil {
		made.Return = *one.Returned
	}
	h.operations = append(h.operations, made)
}

// number is the place of an order in the state; -1 for none.
func (h *history) number(order string) int {
	if order == "" {
		return -1
	}
	number, known := h.orders[order]
	if !known {
		number = len(h.orders)
		h.orders[order] = number
		h.units = append(h.units, 0)
		h.charges = append(h.charges, map[string]byte{})
	}
	return number
}

// charge is the letter in the state of an order that was paid by this charge.
func (h *history) charge(order int, id string) byte {
	letter, known := h.charges[order][id]
	if !known {
		letter = byte('A' + len(h.charges[order]))
		h.charges[order][id] = letter
	}
	return letter
}
