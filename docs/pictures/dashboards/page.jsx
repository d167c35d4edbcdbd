// A dashboard as Grafana lays it out and draws it: the panels' data from Prometheus, the frames, the field
// configuration and the drawing by @grafana/data and @grafana/ui. What those do not export is in substitutes.jsx.

import '@fontsource/inter/400.css';
import '@fontsource/inter/500.css';
import { applyFieldOverrides, cacheFieldDisplayNames, createTheme, ThemeContext } from '@grafana/data';
import { GlobalStyles, PanelChrome } from '@grafana/ui';
import { createRoot } from 'react-dom/client';
import { fieldConfigOf, registryOf } from './config.js';
import { framesOf, transformed } from './data.js';
import { Panel } from './panels.jsx';

const parameters = new URLSearchParams(location.search);
const theme = createTheme({ colors: { mode: 'dark' } });
const GRID = { columns: 24, row: 30, gutter: 8 };

function place({ x, y, w, h }) {
  const column = (innerWidth - GRID.gutter) / GRID.columns;
  const step = GRID.row + GRID.gutter;
  return {
    left: GRID.gutter + x * column,
    top: GRID.gutter + y * step,
    width: w * column - GRID.gutter,
    height: h * step - GRID.gutter,
  };
}

async function load(panel) {
  const frames = await transformed(panel, await framesOf(panel));
  const fieldConfig = fieldConfigOf(panel);
  const data = applyFieldOverrides({
    data: frames,
    fieldConfig,
    replaceVariables: (text) => text,
    fieldConfigRegistry: registryOf(fieldConfig),
    theme,
    timeZone: 'browser',
  });
  cacheFieldDisplayNames(data);
  return { panel, data, fieldConfig };
}

function Dashboard({ panels }) {
  return panels.map(({ panel, data, fieldConfig }) => {
    const { left, top, width, height } = place(panel.gridPos);
    const style = { position: 'absolute', left, top, width, height };
    if (panel.type === 'row') {
      const heading = { ...style, fontSize: 16, fontWeight: 500, padding: '3px 8px' };
      return <div key={panel.id} style={heading}>⌄ {panel.title}</div>;
    }
    return (
      <div key={panel.id} style={style}>
        <PanelChrome title={panel.title} description={panel.description} width={width} height={height}
          padding={panel.type === 'table' ? 'none' : 'md'}>
          {(width, height) => <Panel {...{ panel, data, fieldConfig, theme, width, height }} />}
        </PanelChrome>
      </div>
    );
  });
}

async function draw() {
  const response = await fetch(`/dashboards/${parameters.get('dashboard')}.json`);
  const dashboard = await response.json();
  const shown = dashboard.panels.filter(({ gridPos }) => gridPos.y < Number(parameters.get('rows')));
  const panels = await Promise.all(shown.map(load));
  await Promise.all([400, 500].map((weight) => document.fonts.load(`${weight} 14px Inter`)));
  document.body.style.background = theme.colors.background.canvas;
  createRoot(document.getElementById('page')).render(
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <Dashboard panels={panels} />
    </ThemeContext.Provider>,
  );
  // Bars grow for a second, and tables measure themselves first.
  setTimeout(() => { window.drawn = 'all'; }, 2500);
}

draw().catch((error) => { window.drawn = String(error.stack ?? error); });
