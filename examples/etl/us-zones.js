// The zone in which most of a state's airports lie. Good enough for an example; a real program would look it up by coordinates.

const byZone = {
  'America/New_York': 'CT DC DE FL GA IN KY MA MD ME MI NC NH NJ NY OH PA RI SC VA VT WV',
  'America/Chicago': 'AL AR IA IL KS LA MN MO MS ND NE OK SD TN TX WI',
  'America/Denver': 'CO ID MT NM UT WY',
  'America/Phoenix': 'AZ',
  'America/Los_Angeles': 'CA NV OR WA',
  'America/Anchorage': 'AK',
  'Pacific/Honolulu': 'HI',
  'America/Puerto_Rico': 'PR VI',
}

const zones = new Map(Object.entries(byZone).flatMap(([zone, states]) => states.split(' ').map((state) => [state, zone])))

export function zoneOfState(state) {
  return zones.get(state) ?? 'UTC'
}
