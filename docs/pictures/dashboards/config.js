// What Grafana assumes of a panel's fields where its dashboard says nothing, and which options fields have.

import { FieldConfigOptionsRegistry, standardFieldConfigEditorRegistry } from '@grafana/data';

const STANDARD = [
  'unit', 'min', 'max', 'decimals', 'displayName', 'noValue', 'color', 'thresholds', 'mappings', 'links', 'filterable',
  'fieldMinMax',
];
const item = (id, isCustom) => ({
  id: isCustom ? `custom.${id}` : id,
  path: id,
  name: id,
  isCustom,
  process: (value) => value,
  shouldApply: () => true,
  override: () => null,
  editor: () => null,
});
standardFieldConfigEditorRegistry.setInit(() => STANDARD.map((id) => item(id, false)));

const LINES = {
  drawStyle: 'line',
  lineInterpolation: 'linear',
  lineWidth: 1,
  fillOpacity: 0,
  gradientMode: 'none',
  showPoints: 'auto',
  pointSize: 5,
  spanNulls: false,
  axisPlacement: 'auto',
  axisLabel: '',
  axisGridShow: true,
  axisBorderShow: false,
  axisColorMode: 'text',
  scaleDistribution: { type: 'linear' },
  stacking: { mode: 'none', group: 'A' },
  hideFrom: { legend: false, tooltip: false, viz: false },
  thresholdsStyle: { mode: 'off' },
};
const THRESHOLDS = { mode: 'absolute', steps: [{ value: -Infinity, color: 'green' }, { value: 80, color: 'red' }] };
const COLORS = { timeseries: 'palette-classic', barchart: 'palette-classic', 'state-timeline': 'continuous-GrYlRd' };

export function fieldConfigOf({ type, fieldConfig = {} }) {
  const { defaults = {}, overrides = [] } = fieldConfig;
  const custom = type === 'timeseries' ? { ...LINES, ...defaults.custom } : { ...defaults.custom };
  if (custom.stacking) custom.stacking = { group: 'A', ...custom.stacking };
  const color = { mode: COLORS[type] ?? 'thresholds' };
  return { defaults: { thresholds: THRESHOLDS, color, ...defaults, custom }, overrides };
}

export function registryOf({ defaults, overrides }) {
  const ofOverrides = overrides.flatMap(({ properties }) => properties).map(({ id }) => id);
  const overridden = ofOverrides.filter((id) => id.startsWith('custom.')).map((id) => id.slice('custom.'.length));
  const custom = new Set([...Object.keys(defaults.custom), ...overridden]);
  const registry = new FieldConfigOptionsRegistry();
  STANDARD.forEach((id) => registry.register(item(id, false)));
  custom.forEach((id) => registry.register(item(id, true)));
  return registry;
}
